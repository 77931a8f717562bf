"""Writes the output of a command."""

import sys


def say(text: str) -> None:
    """Write `text` to standard output. Raises `UserError` if that fails, `BrokenPipeError` without a reader."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        from alysd.errors import UserError

        raise UserError(f"standard output cannot be written: {error.strerror}") from None
