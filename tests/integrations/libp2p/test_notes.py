"""The log of the process: counts of the actions of strangers, at most one line per minute."""

import pytest
import trio
from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


async def test_an_error_for_the_bytes_of_a_peer_ends_only_what_handles_them(autojump_clock: MockClock) -> None:
    """One message from any peer would end the process."""
    from alysd.integrations.libp2p.notes import Notes

    notes = Notes()

    async def fail(error: Exception) -> None:
        raise error

    await notes.contained("stream", fail, ExceptionGroup("group", [ExceptionGroup("inner", [KeyError("x")])]))
    await notes.contained("stream", fail, KeyError("y"))
    assert notes.counts == {"stream: KeyError": 2}
    with pytest.raises(MemoryError):
        await notes.contained("stream", fail, MemoryError())


async def test_an_error_beside_a_cancellation_ends_neither_more_nor_less(autojump_clock: MockClock) -> None:
    """A connection that is closed while one of its streams fails would end the process."""
    from alysd.integrations.libp2p.notes import Notes

    notes = Notes()

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("z")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await notes.contained("stream", work)
    assert scope.cancelled_caught
    assert notes.counts == {"stream: KeyError": 1}


async def test_the_summary_has_what_is_new(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    """Strangers decide how often something happens, and would fill the log."""
    from alysd.integrations.libp2p.notes import Notes

    notes = Notes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notes.summarize)
        notes.count("inbound connection: no place")
        notes.count("inbound connection: no place")
        await trio.sleep(61)
        assert capsys.readouterr().out == "INFO in the last 60 s: 2 × inbound connection: no place\n"
        await trio.sleep(120)
        assert capsys.readouterr().out == ""
        nursery.cancel_scope.cancel()
