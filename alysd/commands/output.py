"""Writes the output of a command, and reads the confirmation of a person."""

import sys


def say(text: str, *, now: bool = False) -> None:
    """Write `text` to standard output; with `now` also empty its buffer, as if the command were killed next.

    Raises `BrokenPipeError` if the reader has gone, else `UserError`.
    """
    try:
        sys.stdout.write(text)
        if now:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        from alysd.errors import UserError

        raise UserError(f"standard output cannot be written: {error.strerror}") from None


def confirm(word: str, *, yes: bool, what: str = "the chain's name") -> None:
    """Read `word`, which is `what`, from standard input unless `yes` is set. Raises `UserError` for other text."""
    from alysd.errors import UserError

    if not yes and sys.stdin.readline().strip() != word:
        raise UserError(f"nothing was changed: type {what}, {word}, or use --yes")
