"""How each error of the tree is handled, and the user error behind a failure."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import alysd
from alysd.errors import (
    HANDLING,
    AddressInUse,
    AlysError,
    Corrupt,
    Handling,
    Malformed,
    NotNow,
    Refused,
    RpcCode,
    StoreError,
    UserError,
    handling,
    named_silent,
    user_error_in,
)
from alysd.nurseries import FailureKind

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
    """The traceback of a fault in the program must not be lost."""
    assert user_error_in(error) is None


def tree(root: type[AlysError] = AlysError) -> Iterator[type[AlysError]]:
    """Every class of the tree, wherever it is defined."""
    if root is AlysError:
        for module in walk_packages(alysd.__path__, "alysd."):
            if not module.name.startswith(("alysd.__main__", "alysd.testing")):
                import_module(module.name)
    yield root
    for below in root.__subclasses__():
        yield from tree(below)


def row(error: type[AlysError]) -> Handling:
    """How errors of a class are handled; none is made, since their constructors differ."""
    return handling(error.__new__(error))


def test_every_class_of_the_tree_has_each_column() -> None:
    """A new class would be handled by accident."""
    for error in tree():
        how = row(error)
        assert FailureKind(how.kind)
        assert how.rpc_code in RpcCode
        assert how.exit_status == (2 if issubclass(error, UserError | Corrupt) else 1), "2: a person has to act"
        assert not (how.refusal and how.fatal), error
        for base in error.__mro__[1:]:
            if issubclass(base, AlysError):
                assert row(base).refusal <= how.refusal, f"{error}: an except clause for {base} takes it for one"
                assert row(base).fatal <= how.fatal, error


def test_the_nearest_base_class_decides() -> None:
    """Otherwise a client that asks too early would get the error of a broken rule."""
    assert row(NotNow).rpc_code == RpcCode.NOT_NOW
    assert row(Malformed) is HANDLING[Refused]
    assert handling(ValueError()) is HANDLING[AlysError]


def test_silent_authorities_are_named_with_what_was_heard() -> None:
    """The others are never blamed for what only this node lacks."""
    assert named_silent([(1, 5), (3, None)]) == (
        "authority 1 (last heard in slot 5), 3 (not heard since this node's start)"
    )
    assert named_silent([]) == "this node itself"


def test_every_code_is_documented() -> None:
    """A pool's programmer has nothing else to go by."""
    text = (Path(__file__).parents[1] / "docs" / "json-rpc.md").read_text()
    assert [code for code in RpcCode if f"−{-code}" not in text] == []


def test_the_tree_is_drawn_whole() -> None:
    """The page that explains the branches would leave one out."""
    import alysd.errors

    drawn = alysd.errors.__doc__ or ""
    here = [error for error in tree() if error.__module__ == "alysd.errors"]
    assert [error.__name__ for error in here if error.__name__ not in drawn] == []
