"""Formats a node's status as text: one line about the chain, the reasons for bad health, and the tree."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Report = Mapping[str, Any]

NAME_WIDTH = 24
STATE_WIDTH = 14

SLOTS_SHOWN = 8
"""The number of slots that are shown."""

WORTH_SAYING = ("Degraded", "Unhealthy", "Recovering")
"""Health values that are shown in addition to the state of a running child."""


def draw_status(report: Report, *, now: float) -> str:
    """Return the text of a status; `now` is in Unix seconds, to compute ages."""
    lines = [_headline(report, now)]
    lines += [f"  {reason}" for reason in report["health"]["reasons"]]
    if against := report.get("evidence_against"):
        numbers = ", ".join(map(str, against))
        lines.append(f"  broke the approval rule: authority {numbers}; getevidence shows the proof")
    lines += _reload(report.get("reload"))
    lines += _scheduled(report.get("scheduled_reload"))
    lines += _slots(report.get("federation"))
    lines += draw_tree(report["tree"], now)
    return "\n".join(lines) + "\n"


def _reload(reload: Report | None) -> list[str]:
    """The last reload of the configuration, if it was not accepted or does not suffice."""
    if reload is None:
        return []
    if reload["reason"] is not None:
        words = "rolled back" if reload["outcome"] == "rolled_back" else "refused"
        return [f"  the last reload of the configuration was {words}: {reload['reason']}"]
    waiting, left = ", ".join(reload["needs_restart"]), reload.get("trial_seconds_left")
    lines = [f"  changed in the configuration, but needs a restart: {waiting}"] if waiting else []
    if left is not None:
        lines.append(f"  the configuration is on trial for another {duration(left)}")
    return lines


def _scheduled(scheduled: Report | None) -> list[str]:
    if scheduled is None:
        return []
    when = f"height {scheduled['height']}" if scheduled["time"] is None else moment(scheduled["time"])
    return [f"  a reload is scheduled for {when}: {', '.join(scheduled['options'])}"]


def moment(seconds: float) -> str:
    """Format a Unix time: `2026-11-23 01:28:00 UTC`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def draw_tree(tree: Report, now: float) -> list[str]:
    """Format a child and its descendants, one line each. Rates are averages over the uptime of `tree`."""
    since = tree["uptime"]
    return [_child_line(tree, "", now, since), *_below(tree, "", now, since)]


def duration(seconds: float) -> str:
    """Format seconds in the two largest units: `3 s`, `12 m 5 s`, `2 h 14 m`, `3 d 4 h`."""
    whole = int(seconds)
    units = (("d", whole // 86400), ("h", whole // 3600 % 24), ("m", whole // 60 % 60), ("s", whole % 60))
    first = next((i for i, (_, value) in enumerate(units) if value), 3)
    return " ".join(f"{value} {name}" for name, value in units[first : first + 2] if value or name == "s")


def _syncing(missing: int, target: int, rate: float) -> str:
    """The distance to the best chain, with the present rate and the time left at this rate."""
    speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
    left = f", {speed} blocks/s, {duration(missing / rate)} left" if rate > 0 else ""
    return f"syncing to {target}: {missing} block{'' if missing == 1 else 's'} missing{left}"


def _headline(report: Report, now: float) -> str:
    parts = [str(report["chain"]), *(["follower"] if report.get("role") == "follower" else [])]
    head, final = report.get("head"), report.get("final")
    if head and final:
        age = max(0.0, now - head["timestamp"])
        parts += [f"head {head['height']} ({duration(age)} ago)" if head["height"] else "head 0"]
        parts += [f"final {final['height']}"]
    if (peers := report.get("peers")) is not None:
        parts.append(f"{len(peers)} peer{'' if len(peers) == 1 else 's'}")
    sync = report.get("sync")
    if sync and sync["target"] > sync["current"]:
        parts.append(_syncing(sync["target"] - sync["current"], sync["target"], sync["blocks_per_second"]))
    if sync and sync.get("checkpoint_missing"):
        parts.append("checkpoint missing")
    counts = report.get("counts")
    if counts:
        missed = counts["slots_missed"]
        parts.append(f"{missed} slot{'' if missed == 1 else 's'} missed since start")
    parts.append(report["health"]["status"])
    return "   ".join(parts)


def _slots(federation: Report | None) -> Iterator[str]:
    """Format the last slots of a federation of several authorities, one line each."""
    slots: list[Report] = federation["slots"] if federation else []
    if len({slot["author"] for slot in slots}) < 2:  # an authority alone, whose slots are those of the headline
        return
    for slot in slots[-SLOTS_SHOWN:]:
        line = f"  slot {slot['slot']}   authority {slot['author']}   "
        if slot["seconds"] is None:
            yield f"{line}no block"
        else:
            approved = ", ".join(map(str, slot["approved"]))
            what = "" if slot["quorum"] else "   no quorum"
            yield f"{line}{slot['seconds']:5.2f} s   approved by {approved}{what}"


def _below(child: Report, indent: str, now: float, since: float) -> Iterator[str]:
    children = child["children"]
    for index, below in enumerate(children):
        last = index == len(children) - 1
        yield _child_line(below, indent + ("└─ " if last else "├─ "), now, since)
        yield from _below(below, indent + ("   " if last else "│  "), now, since)


def _child_line(child: Report, branch: str, now: float, since: float) -> str:
    name = f"{branch}{child['name']}".ljust(NAME_WIDTH)
    state = _state(child)
    if child["kind"] == "supervisor":
        words = [_dashed(child["strategy"] or ""), "" if state == "running" else state, duration(child["uptime"])]
        return f"{name} {words[0]:<{STATE_WIDTH}} {'   '.join(word for word in words[1:] if word)}"
    columns = [f"{name} {state:<{STATE_WIDTH}}", f"{_restarts(child, now):<12}"]
    if mailbox := child["mailbox"]:
        columns.append(f"{mailbox['depth']}/{mailbox['capacity']} waiting".ljust(15))
        # The counter of the mailbox continues over restarts of its actor.
        rate = mailbox["handled"] / since if since > 0 else 0.0
        columns.append(f"{rate:.1f} msg/s")
    return "  ".join(columns).rstrip()


def _state(child: Report) -> str:
    """Format the state, and the health if it adds information."""
    state, health = child["state"].lower(), child.get("health")
    return f"{state}, {health.lower()}" if child["state"] == "Running" and health in WORTH_SAYING else state


def _restarts(child: Report, now: float) -> str:
    """Format the number of restarts and the last error, with its time, or with its date if it is not today."""
    number = child["restarts"]
    text = f"{number} restart{'' if number == 1 else 's'}"
    if child["last_error"] and child["last_error_at"]:
        when = datetime.fromtimestamp(child["last_error_at"]).astimezone()
        today = when.date() == datetime.fromtimestamp(now).astimezone().date()
        text += f" ({when:{'%H:%M:%S' if today else '%Y-%m-%d %H:%M'}} {child['last_error']})"
    return text


def _dashed(name: str) -> str:
    """Convert `OneForAll` to `one-for-all`."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).removeprefix("-")
