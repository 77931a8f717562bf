"""The records of peers and the places of large requests: who waits for whom."""

import pytest
import trio
from trio.testing import MockClock

from alysd.actors.peer_lanes import FORGIVEN_SECONDS, KEPT, PLACES, Lane, LanePlaces, PeerRecords, Record


def test_an_answer_is_prompt_for_its_size() -> None:
    records = PeerRecords()
    assert records.of("p", 0.0) is Record.NEW
    for seconds, size, record in (
        (2.0, 0, Record.PROMPT),
        (2.1, 0, Record.SLOW),
        (14.0, 4 << 20, Record.PROMPT),
        (14.0, 1 << 20, Record.SLOW),
    ):
        records.answered("p", seconds, size, 0.0)
        assert records.of("p", 1.0) is record
    assert records.of("p", FORGIVEN_SECONDS) is Record.NEW
    records.answered("p", 0.0, 0, 0.0)
    assert records.of("p", 10 * FORGIVEN_SECONDS) is Record.PROMPT
    records.failed("p", 0.0)
    assert records.of("p", 0.0) is Record.SLOW


def test_the_number_of_records_is_bounded() -> None:
    records = PeerRecords()
    for number in range(KEPT + 1):
        records.failed(str(number), 0.0)
    assert (records.of("0", 0.0), records.of("1", 0.0)) == (Record.NEW, Record.SLOW)


@pytest.mark.parametrize(("record", "at_once"), [(Record.PROMPT, 6), (Record.NEW, 4), (Record.SLOW, 1)])
async def test_each_class_of_peers_has_its_part_of_the_places(
    autojump_clock: MockClock, record: Record, at_once: int
) -> None:
    lane, held = Lane(LanePlaces(6, 4, 1)), 0

    async def hold() -> None:
        nonlocal held
        async with lane.place(record):
            held += 1
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(hold)
        await trio.sleep(1)
        assert held == at_once
        nursery.cancel_scope.cancel()


def test_every_purpose_keeps_places_for_prompt_peers_and_for_new_ones() -> None:
    for places in PLACES.values():
        assert places.slow < places.not_prompt < places.all
