"""Writes the output of a command, and reads the confirmation of a person."""

import sys


def say(text: str, *, now: bool = False) -> None:
    """Write `text` to standard output. With `now`, also flush it, so that the text survives a kill.

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
    """Read `word` from standard input, unless `yes` is set. Raises `UserError` for other text.

    `what` describes the word in the error.
    """
    from alysd.errors import UserError

    if not yes and sys.stdin.readline().strip() != word:
        raise UserError(f"nothing was changed: type {what}, {word}, or use --yes")
