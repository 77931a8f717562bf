"""The user error behind a failure."""

import pytest

from alysd.errors import AddressInUse, StoreError, user_error_in

MISTAKE = AddressInUse("127.0.0.1:3000 is in use")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """An error raised from another."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MISTAKE,
        caused(RuntimeError("gave up"), MISTAKE),
        caused(RuntimeError("gave up"), caused(StoreError("x"), MISTAKE)),
        BaseExceptionGroup("two", [KeyboardInterrupt(), caused(ValueError(), MISTAKE)]),
        caused(RuntimeError(), ExceptionGroup("inner", [ExceptionGroup("innermost", [MISTAKE])])),
    ],
)
def test_the_mistake_is_found_however_deep(error: BaseException) -> None:
    """A person would see a stack trace for a used port."""
    assert user_error_in(error) is MISTAKE


@pytest.mark.parametrize("error", [StoreError("disk"), ExceptionGroup("one", [ValueError()]), KeyError("x")])
def test_a_fault_of_the_program_is_not_the_users(error: BaseException) -> None:
    """Its traceback would be lost."""
    assert user_error_in(error) is None
