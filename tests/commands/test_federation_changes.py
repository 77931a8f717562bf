"""The changes of the federation as people read them: each track with its sequence."""

from typing import Any

import pytest

from alysd.commands.federation_changes import change_lines

MEMBERS: dict[str, Any] = {"sequence": 5, "kind": "members", "effectiveheight": 990, "members": [{}, {}, {}]}
HALT: dict[str, Any] = {"sequence": 3, "kind": "halt", "effectiveheight": 930}
NEXT_MEMBERS = "members: the next change has the sequence 5; the head is at 901"


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"peg": None}, [NEXT_MEMBERS]),
        (
            {"peg": {"halted": False, "sequence": 2, "pending": None}},
            [NEXT_MEMBERS, "peg: the next change (halt) has the sequence 3; the head is at 901"],
        ),
        (
            {"pending": MEMBERS, "peg": {"halted": False, "sequence": 2, "pending": HALT}},
            [
                "members: change 5 (3 members) takes effect at height 990; the head is at 901",
                "peg: change 3 (halt) takes effect at height 930; the head is at 901",
            ],
        ),
        (
            {"handover": ["0xab"], "peg": {"halted": True, "sequence": 3, "pending": None}},
            [
                "members: change 4 has begun, and its hand-over has not ended: no other change before that",
                "the peg is halted until governance resumes it",
                "peg: the next change (resume) has the sequence 4; the head is at 901",
            ],
        ),
        ({"sequence": None}, ["the chain has no governance keys: its federation never changes"]),
    ],
)
def test_each_track_says_what_waits_or_which_sequence_is_next(changes: dict[str, Any], lines: list[str]) -> None:
    """A holder of a governance key who signs a wrong sequence signs for nothing."""
    assert change_lines({"sequence": 4, "pending": None, "handover": None, "height": 901} | changes) == lines


def test_a_hostile_node_writes_no_control_characters() -> None:
    """The URL may be that of a stranger's node."""
    shown = change_lines({"sequence": "\x1b[2J", "pending": {"sequence": "\x1b"}, "height": "\n", "peg": {"x": 1}})
    assert all(line.isprintable() for line in shown)
