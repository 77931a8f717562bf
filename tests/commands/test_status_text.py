"""The text of `alysd status`."""

from datetime import datetime
from typing import Any

import pytest

from alysd.commands.status_text import draw_status, draw_tree, duration

NOW = datetime(2026, 11, 20, 14, 0, 0).astimezone().timestamp()


def child(name: str, *below: dict[str, Any], kind: str = "actor", **changes: Any) -> dict[str, Any]:
    """A child as the node says it."""
    mailbox = {"depth": 1, "capacity": 64, "handled": 16_080} if kind == "actor" else None
    strategy = "OneForOne" if kind == "supervisor" else None
    said = {
        "name": name, "kind": kind, "state": "Running", "health": "Healthy", "strategy": strategy,
        "restarts": 0, "uptime": 100.0, "last_error": None, "last_error_at": None,
        "mailbox": mailbox, "children": list(below),
    }  # fmt: skip
    return said | changes


REPORT: dict[str, Any] = {
    "chain": "alys-dev",
    "time": NOW,
    "health": {"status": "degraded", "reasons": ["auxpow waits for its restart: ValueError: x"]},
    "head": {"height": 237, "timestamp": NOW - 1},
    "final": {"height": 229},
    "counts": {"slots_missed": 2},
    "tree": child(
        "AlysSystem",
        child("StorageSupervisor", child("storage"), child("metrics"), kind="supervisor"),
        child("ChainSupervisor", child("finality", kind="task"), kind="supervisor", state="Backoff"),
        child(
            "auxpow", restarts=1, state="Backoff", uptime=0.0,
            last_error="ValueError: x", last_error_at=NOW - 7200,
        ),
        kind="supervisor",
        strategy="OneForAll",
        uptime=8040.0,
    ),
}  # fmt: skip


def test_the_whole_page() -> None:
    """A person would look at something else than the documentation shows."""
    assert draw_status(REPORT, now=NOW).splitlines() == [
        "alys-dev   head 237 (1 s ago)   final 229   2 slots missed since start   degraded",
        "  auxpow waits for its restart: ValueError: x",
        "AlysSystem               one-for-all    2 h 14 m",
        "├─ StorageSupervisor     one-for-one    1 m 40 s",
        "│  ├─ storage            running         0 restarts    1/64 waiting     2.0 msg/s",
        "│  └─ metrics            running         0 restarts    1/64 waiting     2.0 msg/s",
        "├─ ChainSupervisor       one-for-one    backoff   1 m 40 s",
        "│  └─ finality           running         0 restarts",
        "└─ auxpow                backoff         1 restart (12:00:00 ValueError: x)  1/64 waiting     2.0 msg/s",
    ]


def test_a_node_that_cannot_say_is_still_drawn() -> None:
    """The page would fail when it is needed most."""
    silent = {key: value for key, value in REPORT.items() if key not in ("head", "final")} | {"counts": None}
    assert draw_status(silent, now=NOW).splitlines()[0] == "alys-dev   degraded"


def test_a_node_that_is_behind_says_what_is_missing() -> None:
    sync = {"current": 5, "target": 2005, "blocks_per_second": 20.0}
    shown = draw_status({**REPORT, "sync": sync}, now=NOW)
    assert "   syncing to 2005: 2000 blocks missing, 20 blocks/s, 1 m 40 s left   " in shown
    shown = draw_status({**REPORT, "sync": {**sync, "blocks_per_second": 0.25}}, now=NOW)
    assert "   syncing to 2005: 2000 blocks missing, 0.2 blocks/s, 2 h 13 m left   " in shown
    shown = draw_status({**REPORT, "sync": {**sync, "current": 2004, "blocks_per_second": 0.0}}, now=NOW)
    assert "   syncing to 2005: 1 block missing   " in shown
    assert "syncing" not in draw_status({**REPORT, "sync": {**sync, "current": 2005}}, now=NOW)
    assert "syncing" not in draw_status({**REPORT, "sync": None}, now=NOW)
    shown = draw_status({**REPORT, "sync": {**sync, "checkpoint_missing": True}}, now=NOW)
    assert "   checkpoint missing   " in shown


def test_a_node_with_a_network_counts_its_peers() -> None:
    """An operator could not see that the node is alone."""
    assert "   final 229   2 peers   " in draw_status({**REPORT, "peers": [{}, {}]}, now=NOW)
    assert "   1 peer   " in draw_status({**REPORT, "peers": [{}]}, now=NOW)
    assert "peer" not in draw_status({**REPORT, "peers": None}, now=NOW)


def test_the_last_slots_of_a_federation_show_author_lateness_and_approvals() -> None:
    slots: list[dict[str, Any]] = [
        {"slot": slot, "author": slot % 4, "seconds": 0.25, "approved": [0, 1, 2], "quorum": True}
        for slot in range(90, 98)
    ]
    slots += [
        {"slot": 98, "author": 2, "seconds": 1.5, "approved": [2], "quorum": False},
        {"slot": 99, "author": 3, "seconds": None, "approved": [], "quorum": False},
    ]
    said = draw_status(
        {**REPORT, "federation": {"below_quorum_since": None, "slots": slots}}, now=NOW
    ).splitlines()
    assert said[2:10] == [
        *(f"  slot {slot}   authority {slot % 4}    0.25 s   approved by 0, 1, 2" for slot in range(92, 98)),
        "  slot 98   authority 2    1.50 s   approved by 2   no quorum",
        "  slot 99   authority 3   no block",
    ]


def test_an_authority_alone_has_no_list_of_slots() -> None:
    slots = [{"slot": slot, "author": 0, "seconds": 0.0, "approved": [0], "quorum": True} for slot in range(9)]
    said = draw_status({**REPORT, "federation": {"below_quorum_since": None, "slots": slots}}, now=NOW)
    assert said == draw_status(REPORT, now=NOW)


def test_a_member_that_broke_the_rules_is_named() -> None:
    """An operator who never reads the log would not learn of it."""
    said = draw_status({**REPORT, "evidence_against": [0, 2]}, now=NOW)
    assert "  broke the approval rule: authority 0, 2; getevidence shows the proof\n" in said
    assert "broke" not in draw_status({**REPORT, "evidence_against": []}, now=NOW)


def test_a_chain_before_its_first_block_has_no_age() -> None:
    """The head would be half a century old."""
    new = REPORT | {"head": {"height": 0, "timestamp": 0}, "final": {"height": 0}, "counts": {"slots_missed": 1}}
    first = draw_status(new, now=NOW).splitlines()[0]
    assert first == "alys-dev   head 0   final 0   1 slot missed since start   degraded"


def test_a_failure_of_another_day_has_its_date() -> None:
    """Without the date, a reader would search the log of the wrong day."""
    old = child("a", restarts=3, last_error="E", last_error_at=NOW - 3 * 86400)
    assert "3 restarts (2026-11-17 14:00 E)" in draw_tree(old, NOW)[0]


@pytest.mark.parametrize(
    ("state", "health", "shown"),
    [
        ("Running", "Healthy", "running   "),
        ("Running", "Unknown", "running   "),
        ("Running", "Degraded", "running, degraded  "),
        ("Running", "Recovering", "running, recovering  "),
        ("Backoff", "Recovering", "backoff   "),
    ],
)
def test_health_is_shown_where_the_state_does_not_tell(state: str, health: str, shown: str) -> None:
    """An actor that is stuck would look well, or every line would say that all is well."""
    line = draw_tree(child("chain", state=state, health=health), NOW)[0]
    assert shown in line
    assert ("," in line) == ("," in shown)


def test_a_supervisor_that_is_stuck_is_shown() -> None:
    """A stuck supervisor restarts no child, so the text must not show it as healthy."""
    stuck = child("ChainSupervisor", kind="supervisor", health="Degraded")
    assert "running, degraded" in draw_tree(stuck, NOW)[0]


def test_a_restart_does_not_make_an_actor_look_busy() -> None:
    """A second after a restart the messages of a day would be a day's per second."""
    young = child("chain", uptime=1.0)
    line = draw_tree(child("AlysSystem", young, kind="supervisor", uptime=8040.0), NOW)[1]
    assert line.endswith("2.0 msg/s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 m 0 s"),
        (725, "12 m 5 s"),
        (3600, "1 h"),
        (8040, "2 h 14 m"),
        (86400, "1 d"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    """A duration of 273600 seconds must be shown in days and hours."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("reload", "line"),
    [
        ({"outcome": "applied", "needs_restart": [], "reason": None}, None),
        (
            {"outcome": "unchanged", "needs_restart": ["storage.path", "mining.internal"], "reason": None},
            "  changed in the configuration, but needs a restart: storage.path, mining.internal",
        ),
        (
            {"outcome": "rolled_back", "needs_restart": [], "reason": "logging.level: no answer"},
            "  the last reload of the configuration was rolled back: logging.level: no answer",
        ),
        (
            {"outcome": "refused", "needs_restart": [], "reason": "a: wrong"},
            "  the last reload of the configuration was refused: a: wrong",
        ),
        (
            {"outcome": "applied", "needs_restart": [], "reason": None, "trial_seconds_left": 12.5},
            "  the configuration is on trial for another 12 s",
        ),
    ],
)
def test_a_reload_that_did_not_apply_all_is_shown(reload: dict[str, Any], line: str | None) -> None:
    """An operator would believe that a change is in force."""
    plain, shown = (draw_status({**REPORT, **more}, now=NOW).splitlines() for more in ({}, {"reload": reload}))
    assert [one for one in shown if one not in plain] == ([] if line is None else [line])


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"time": 1_795_406_400.0, "height": None}, "2026-11-23 04:00:00 UTC"),
        ({"time": None, "height": 9}, "height 9"),
    ],
)
def test_a_scheduled_reload_is_shown(when: dict[str, Any], words: str) -> None:
    shown = draw_status({**REPORT, "scheduled_reload": {**when, "options": ["a.b", "c.d"]}}, now=NOW)
    assert f"  a reload is scheduled for {words}: a.b, c.d" in shown.splitlines()
