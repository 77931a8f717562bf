"""Writes the output of a command."""

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
