"""The tables of the federation's benchmark."""

from typing import Any

import pytest

from benchmarks.federation.chains import Chain
from benchmarks.federation.faults import Outcome
from benchmarks.federation.report import block_times, everywhere, fault_rows, filled, latency, share


def record(arrived: float | None, *steps: float | None) -> dict[str, Any]:
    return {"seconds": arrived, "steps": dict(zip(("approved", "quorum", "imported"), steps, strict=True))}


SLOTS = {
    4: {
        1: record(0.03, 0.03, 0.15, 0.16),
        2: record(0.09, 0.10, 0.17, 0.18),
        3: record(0.08, 0.12, 0.16, 0.20),
    },
    5: {
        1: record(0.09, 0.10, 0.17, 0.18),
        2: record(0.04, None, 0.12, 0.13),
        3: record(0.09, 0.09, 0.14, 0.15),
    },
    6: {
        1: record(None, None, None, None),
        2: record(0.1, 0.2, None, None),
        3: record(0.05, 0.05, None, None),
    },
}


def test_a_slot_counts_when_all_members_know_a_quorum() -> None:
    """A slow member would not count."""
    assert everywhere(SLOTS, 3) == [0.17, 0.17]
    assert everywhere(SLOTS, 4) == []


def test_the_parts_of_a_block_add_up_to_its_import() -> None:
    """The table would say that the time is spent elsewhere."""
    found = block_times(SLOTS, 3)
    assert {slot: len(times) for slot, times in found.items()} == {4: 2, 5: 1}
    (first, second) = found[4]
    assert (first.signed, second.signed) == (0.09, 0.09), "slot 4 is that of member 2"
    for times in (first, second):
        assert sum(times.parts.values()) == pytest.approx(times.imported)


def test_the_table_has_milliseconds() -> None:
    assert latency(SLOTS, 4) == "no slot was recorded by all members\n"
    text = latency({3: {number: record(0.1, 0.12, 0.2, 0.25) for number in (1, 2, 3)}}, 3)
    assert "| slot start to approval everywhere | 200 | 200 | 200 | 200 |" in text
    assert "| approvals on their way | 80 | 80 | 80 | 80 |" in text


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_share_is_that_of_the_nearest_rank(part: float, expected: int) -> None:
    assert share([float(value) for value in range(100, 0, -1)], part) == expected


def test_the_transactions_of_the_blocks_are_shown() -> None:
    """A benchmark of full blocks whose blocks were empty would look fast."""
    chain = Chain(1, list("gabcd"), [0, 10, 11, 13, 16], [0, 2, 0, 2, 7])
    assert (
        filled(chain.transactions_between(10, 16))
        == "1 blocks with 0 transactions\n2 blocks with 2 transactions\n"
    )


def test_a_fault_shows_whose_slots_were_missed_and_when_a_block_was_committed_again() -> None:
    """Slots that others missed because of a fault would be blamed on the member that was killed."""
    slots = [slot for slot in range(100, 140) if slot % 4 != 1 and slot != 111 and slot not in (120, 122)]
    chain = Chain(1, ["x"] * len(slots), slots)
    outcome = Outcome("kill -9 of one", (2,), 200.5, 240.5, 3.4, None, "note")
    row = fault_rows([outcome], chain, 4).splitlines()[2]
    assert row == "| kill -9 of one | 19 | 5 | 1 | 4 | 3 s | never | note |"
