"""Isolation: failures are passed to a function, and cancellations are raised."""

import pytest
import trio
import trio.lowlevel

from alysd.nurseries import isolated
from alysd.nurseries.isolation import isolated_exit


async def divide(one: int, other: int) -> str:
    return str(one // other)


async def test_a_result_passes() -> None:
    assert await isolated(repr, divide, 6, 3) == "2"


async def test_an_error_becomes_the_result_of_the_other_function() -> None:
    assert await isolated(lambda error: type(error).__name__, divide, 1, 0) == "ZeroDivisionError"


async def test_a_group_of_errors_is_handed_over_whole() -> None:
    async def fail() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(divide, 1, 0)
        return ""

    assert await isolated(lambda error: type(error).__name__, fail) == "ExceptionGroup"


async def test_cancellation_passes() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await isolated(repr, trio.sleep_forever)
        raise AssertionError
    assert scope.cancelled_caught


async def test_an_error_beside_a_cancellation_is_handed_over_and_the_cancellation_passes() -> None:
    """Else one that happens while a server stops would leave it, or would keep it from stopping."""
    seen: list[Exception] = []

    async def clean_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("while it ends")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clean_up)
            nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await isolated(seen.append, work)
        pytest.fail("the cancellation was held up")
    assert scope.cancelled_caught
    assert [type(error) for error in seen] == [ExceptionGroup]
    assert "while it ends" in repr(seen)


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, 0), (SystemExit(), 0), (SystemExit(3), 3), (SystemExit("text"), 1), (KeyError("x"), 1)],
    ids=repr,
)
@pytest.mark.parametrize("grouped", [False, True])
async def test_work_as_a_process_has_an_exit_status(
    error: BaseException | None, status: int, grouped: bool
) -> None:
    ended: list[BaseException] = []

    async def work(error: BaseException | None) -> None:
        if error is not None:
            raise BaseExceptionGroup("", [error, ValueError("later")]) if grouped else error

    assert await isolated_exit(ended.append, work, error) == status
    assert ended == ([] if error is None else [error])


async def test_a_cancellation_is_no_exit() -> None:
    """Also beside an error, which is an end."""
    ended: list[BaseException] = []

    async def clean_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("while it ends")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clean_up)
            nursery.start_soon(trio.sleep_forever)
            await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.sleep_forever()

    for running, count in ((trio.sleep_forever, 0), (work, 1)):
        with trio.CancelScope() as scope:
            if running is trio.sleep_forever:
                scope.cancel()
            await isolated_exit(ended.append, running)
            pytest.fail("the cancellation was held up")
        assert scope.cancelled_caught
        assert len(ended) == count


async def test_a_keyboard_interrupt_is_no_exit() -> None:
    async def interrupted() -> None:
        raise BaseExceptionGroup("", [KeyboardInterrupt()])

    with pytest.RaisesGroup(pytest.RaisesGroup(KeyboardInterrupt)):
        await isolated_exit(list[BaseException]().append, interrupted)


async def test_a_group_without_errors_is_raised() -> None:
    async def exits() -> str:
        raise BaseExceptionGroup("two", [KeyboardInterrupt(), SystemExit(3)])

    failed: list[Exception] = []
    with pytest.raises(BaseExceptionGroup, match="two") as caught:
        await isolated(lambda error: str(failed.append(error)), exits)
    assert [type(leaf) for leaf in caught.value.exceptions] == [KeyboardInterrupt, SystemExit]
    assert failed == []
