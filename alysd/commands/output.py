"""Writes the output of a command, and reads the confirmation of a person."""

import sys


def say(text: str) -> None:
    """Write `text` to standard output. Raises `BrokenPipeError` if the reader has gone, else `UserError`."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        from alysd.errors import UserError

        raise UserError(f"standard output cannot be written: {error.strerror}") from None


def confirm(chain: str, *, yes: bool) -> None:
    """Read the chain's name from standard input, unless `yes` is set. Raises `UserError` for any other text."""
    from alysd.errors import UserError

    if not yes and sys.stdin.readline().strip() != chain:
        raise UserError(f"nothing was changed: type the chain's name, {chain}, or use --yes")
