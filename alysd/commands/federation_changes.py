"""The changes of the federation that a node shows, as lines for people (docs/json-rpc.md, `getfederation`)."""

from typing import Any, cast


def change_lines(state: dict[str, Any]) -> list[str]:
    """The lines about the result of `getfederation`: for each track, what waits, or the next sequence."""
    if state.get("sequence") is None:
        return ["the chain has no governance keys: its federation never changes"]
    lines = [_track("members", state, _members(state.get("pending")), state.get("height"))]
    if state.get("handover"):
        last = _plain(state.get("sequence"))
        lines = [f"members: change {last} has begun, and its hand-over has not ended: no other change before that"]
    peg = _object(state.get("peg"))
    if peg:
        halted = bool(peg.get("halted"))
        if halted:
            lines.append("the peg is halted until governance resumes it")
        kind = _object(peg.get("pending")).get("kind", "resume" if halted else "halt")
        lines.append(_track("peg", peg, f" ({_plain(kind)})", state.get("height")))
    return lines


def _track(name: str, state: dict[str, Any], what: str, height: object) -> str:
    """The line about the track with this `name`: the change that waits, or the sequence of the next one."""
    pending = _object(state.get("pending"))
    if pending:
        return (
            f"{name}: change {_plain(pending.get('sequence'))}{what} takes effect at height "
            f"{_plain(pending.get('effectiveheight'))}; the head is at {_plain(height)}"
        )
    last = state.get("sequence")
    following = last + 1 if isinstance(last, int) else None
    return f"{name}: the next change{what} has the sequence {_plain(following)}; the head is at {_plain(height)}"


def _members(pending: object) -> str:
    members = _object(pending).get("members")
    count = len(cast("list[object]", members)) if isinstance(members, list) else 0
    return f" ({count} member{'' if count == 1 else 's'})" if count else ""


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _plain(value: object) -> str:
    from alysd.wire.plain_text import plain

    return plain(str(value))
