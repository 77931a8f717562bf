"""The table of `alysd federation`."""

from typing import Any

from alysd.commands.federation_table import Row, draw_table

STATUS: dict[str, Any] = {
    "time": 2011.5,
    "slot_seconds": 2,
    "head": {"height": 237, "slot": 1003},
    "safe": {"height": 236},
    "final": {"height": 229},
    "peers": [{}, {}, {}],
    "federation": {"slots": [{"seconds": None}, {"seconds": 0.154}]},
    "health": {"status": "healthy", "reasons": []},
}


def test_the_whole_table() -> None:
    rows = [
        Row(1, "running", STATUS),
        Row(2, "paused", None),
        Row(3, "running", None),
        Row(
            4,
            "running",
            {
                **STATUS,
                "head": {"height": 0, "slot": 0},
                "safe": {"height": 0},
                "final": {"height": 0},
                "peers": None,
                "federation": {"slots": []},
                "health": {"status": "unhealthy", "reasons": ["no block yet", "more"]},
            },
        ),
        Row(5, "killed by signal 9", None),
    ]
    assert draw_table(rows, "keys") == (
        "member  process             head    slot        committed  final   peers  behind  late     health\n"
        "1       running             237     1003        236        229     3      2       0.15 s   healthy\n"
        "2       paused              -       -           -          -       -      -       -\n"
        "3       running             -       -           -          -       -      -       -        no answer\n"
        "4       running             0       0           0          0       -      -       -        no block yet\n"
        "5       killed by signal 9  -       -           -          -       -      -       -\n"
        "\nkeys\n"
    )


def test_a_node_without_its_database_is_no_answer() -> None:
    """The status page leaves out what does not answer."""
    said = {**STATUS}
    del said["head"]
    assert "no answer" in draw_table([Row(1, "running", said)], "")


def test_a_slot_without_a_block_has_no_lateness() -> None:
    said = {**STATUS, "federation": {"slots": [{"seconds": 0.154}, {"seconds": None}]}}
    assert " 2       -        healthy\n" in draw_table([Row(1, "running", said)], "")
