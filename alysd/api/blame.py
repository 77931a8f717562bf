"""Whose fault an error is: the user's, who is told in words, or the program's, whose traceback helps."""

from collections.abc import Sequence

from alysd.errors import UserError


def user_error_in(error: BaseException) -> UserError | None:
    """The error that the user can put right among an error's causes and the members of its groups, if any."""
    if isinstance(error, UserError):
        return error
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    if error.__cause__ is not None:
        inner = (*inner, error.__cause__)
    return next(filter(None, map(user_error_in, inner)), None)
