"""The operator's pages about the actor runtime: failures, patterns in failures, and mailboxes.

The pages read the runtime's own records and ask no actor, so they answer even while every actor is stuck. Their
size is bounded by the numbers of kept failures and dead letters, and by the capacities of mailboxes.
docs/operating.md explains the pages.
"""

from collections import Counter
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import attrs
import trio

from alysd.api.http.messages import Request, Response, json_response
from alysd.api.http.site import Handler
from alysd.api.system_handle import SystemHandle
from alysd.integrations.memory import resident_bytes
from alysd.nurseries import Address, ChildHistory, ChildSnapshot, FailureRecord, Pattern, PatternKind
from alysd.nurseries.inbox import content
from alysd.ports import Clock

ERROR_LENGTH = 300
"""The number of characters shown of an error's message. The log has the whole message."""

ADVICE: Mapping[PatternKind, str] = {
    PatternKind.BURST: "the child fails soon after each restart: see its errors on /supervision/stats",
    PatternKind.RHYTHM: "look for a periodic cause: a timeout, a cron job, a peer that retries",
    PatternKind.CASCADE: "look at the child that failed first; the others may have failed because of it",
    PatternKind.COMMON_CAUSE: "look for what these children share: disk, network, an external system",
}
"""The advice for each kind of pattern."""


@attrs.frozen
class SupervisionPages:
    """The pages of the node in `running`. `clock` is used to convert the runtime's times to Unix times."""

    clock: Clock
    running: SystemHandle

    def pages(self) -> dict[str, Handler]:
        """The handlers of the pages, by path."""
        return {
            "/supervision/stats": self.stats_page,
            "/supervision/patterns": self.patterns_page,
            "/supervision/memory": self.memory_page,
            "/health/trends": self.trends_page,
        }

    async def stats_page(self, _request: Request) -> Response:
        """Every child with its state, its restarts and its last failures."""
        failures, unix = self.running.up().failures, self._unix()
        children = [stats_json(child, failures.of(child.name), unix) for child in self.running.snapshot().walk()]
        return json_response({"time": self.clock.time(), "children": children})

    async def patterns_page(self, _request: Request) -> Response:
        """Patterns in the failures of the last minutes; an empty list when there are none."""
        unix = self._unix()
        patterns = [pattern_json(pattern, unix) for pattern in self.running.up().patterns()]
        return json_response({"time": self.clock.time(), "patterns": patterns})

    async def memory_page(self, _request: Request) -> Response:
        """The memory of the process, and every mailbox: waiting messages, capacity, dead letters."""
        system = self.running.up()
        actors = [child.name for child in system.snapshot().walk() if child.mailbox is not None]
        mailboxes = [mailbox_json(system.registry.address(name)) for name in actors]
        return json_response(
            {"time": self.clock.time(), "resident_bytes": resident_bytes(), "mailboxes": mailboxes}
        )

    async def trends_page(self, _request: Request) -> Response:
        """The number of children by health at each round of the health monitor in the last hour, oldest first."""
        unix = self._unix()
        rounds = [
            {"at": at + unix, **{health.value: count for health, count in counts.items()}}
            for at, counts in self.running.monitor.trend
        ]
        return json_response({"time": self.clock.time(), "rounds": rounds})

    def _unix(self) -> float:
        return self.clock.time() - trio.current_time()


def stats_json(child: ChildSnapshot, history: ChildHistory, unix: float) -> dict[str, Any]:
    """A child and its failures, the newest last. `unix` is Unix time minus trio's time, in seconds."""
    return {
        "name": child.name,
        "kind": child.kind,
        "state": child.state.value,
        "health": child.health.value,
        "priority": child.priority.name.lower(),
        "strategy": child.strategy,
        "restart": child.restart,
        "uptime": child.uptime,
        "restarts": child.restarts,
        "failures": history.failures,
        "failures_by_kind": {kind.value: count for kind, count in history.kinds.items()},
        "failures_by_outcome": {outcome.value: count for outcome, count in history.outcomes.items()},
        "mean_uptime_until_failure": history.mean_uptime(),
        "recent": [_failure_json(record, unix) for record in history.recent],
    }


def _failure_json(record: FailureRecord, unix: float) -> dict[str, Any]:
    return {
        "at": record.at + unix,
        "kind": record.kind.value,
        "error": record.error[:ERROR_LENGTH],
        "uptime": record.uptime,
        "outcome": record.outcome.value,
        "restarted_after": record.delay,
        "recommended": record.recovery.value,
    }


def pattern_json(pattern: Pattern, unix: float) -> dict[str, Any]:
    """A pattern, with the advice for its kind."""
    return {
        "kind": pattern.kind.value,
        "children": list(pattern.children),
        "failures": pattern.failures,
        "first": pattern.first + unix,
        "last": pattern.last + unix,
        "detail": pattern.detail,
        "look": ADVICE[pattern.kind],
    }


def mailbox_json(address: Address[Any]) -> dict[str, Any]:
    """The mailbox of an address: its messages by type, without their content."""
    now, inbox, current = perf_counter(), address.mailbox, address.current
    waiting = Counter(_type_of(message) for message, _, _ in inbox.queue)
    return {
        "name": address.name,
        "capacity": inbox.capacity,
        "waiting": len(inbox.queue),
        "waiting_by_type": dict(waiting),
        "waiting_for_seconds": now - inbox.queue[0][1] if inbox.queue else 0.0,
        "in_line_for_room": len(inbox.line or ()),
        "current": None if current is None else {"type": _type_of(current[0]), "sent_ago": now - current[1]},
        "dropped": inbox.dropped,
        "dead_letters": [
            {"type": _type_of(letter.message), "reason": letter.reason, "waited": letter.waited}
            for letter in address.dead_letters
        ],
    }


def _type_of(message: object) -> str:
    return type(content(message)).__name__
