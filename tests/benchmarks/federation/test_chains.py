"""The benchmark of a federation counts missed slots, committed blocks and conflicts."""

from benchmarks.federation.chains import Chain, conflicts
from benchmarks.federation.watch import Sample

CHAIN = Chain(1, ["g", "a", "b", "c", "d"], [0, 10, 11, 13, 16])


def test_slots_without_a_block_are_missed() -> None:
    assert CHAIN.missed(10, 17) == [12, 14, 15]
    assert CHAIN.missed(16, 17) == []


def test_a_block_in_the_very_next_slot_commits() -> None:
    assert CHAIN.commits_after(5) == 11
    assert CHAIN.commits_after(11) == 11
    assert CHAIN.commits_after(12) is None


def test_a_committed_block_that_another_member_lacks_is_a_conflict() -> None:
    """The benchmark would call a chain safe that is not."""
    other = Chain(2, ["g", "a", "x"], [0, 10, 12])
    head = Sample(0.0, 1, {"head": (2, "b", 11), "safe": (1, "a", 10), "final": (0, "g", 0)})
    assert conflicts([CHAIN, other], [head, Sample(1.0, 2, {})]) == []
    safe = Sample(2.0, 1, {"head": (3, "c", 13), "safe": (2, "b", 11), "final": (1, "a", 10)})
    assert conflicts([CHAIN, other], [head, safe]) == [
        "member 1 had the safe block b at height 2, member 2 has x",
    ]
    final = Sample(2.0, 2, {"safe": (2, "x", 12), "final": (2, "x", 12)})
    assert len(conflicts([CHAIN, other], [final])) == 2
