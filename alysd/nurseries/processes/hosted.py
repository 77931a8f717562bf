"""The actor's child in the process, and the stand-ins for the health monitor and the operator in the parent."""

import json
from typing import cast

from alysd.nurseries.actor_child import ActorChild
from alysd.nurseries.asks import Pending
from alysd.nurseries.behaviour import Health
from alysd.nurseries.child import Parent, Runtime
from alysd.nurseries.processes import frames
from alysd.nurseries.processes.errors import pack_summary
from alysd.nurseries.processes.wire import Wire
from alysd.nurseries.spec import ActorSpec


class HostedChild(ActorChild):
    """The child that runs the only instance of the process. The parent decides when it stops."""

    __slots__ = ("_leaves", "_wire")

    def __init__(self, spec: ActorSpec, parent: Parent, runtime: Runtime, wire: Wire) -> None:
        super().__init__(spec, parent, runtime)
        self._wire = wire
        self._leaves = False

    def end(self) -> None:
        """Ask the parent to stop the actor, after the messages that wait in the parent."""
        if not self._leaves:
            self._leaves = True
            self._wire.post(frames.LEAVE)
            self._wire.wake()

    @property
    def asked_to_stop(self) -> bool:
        """Whether the actor was asked to stop, or has itself asked the parent for its stop."""
        return self._leaves or self.stopping


class Check(Pending):
    """Stands for the health monitor of the parent."""

    __slots__ = ("_number", "_wire")

    def __init__(self, wire: Wire, number: int) -> None:
        self._wire = wire
        self._number = number

    def reply(self, value: object) -> None:
        """Send the health that the actor reports."""
        self._send(frames.HEALTH, Health(value).value.encode())

    def _send(self, kind: int, payload: bytes) -> None:
        self._wire.post(kind, 0, self._number, payload)
        self._wire.wake()


class StateQuery(Check):
    """Stands for the operator who asks the parent for the state of the actor."""

    __slots__ = ()

    @property
    def task(self) -> "StateQuery":  # pyright: ignore[reportIncompatibleVariableOverride]
        """Never `None`: this process cannot know whether the operator still waits."""
        return self

    def reply(self, value: object) -> None:
        """Send the state, which is a bounded copy of plain data."""
        payload = json.dumps(value).encode()
        longest = self._wire.reader.max_bytes
        if len(payload) > longest:
            self.fail(ValueError(f"the state has {len(payload)} bytes; at most {longest} can be sent"))
        else:
            self._send(frames.STATE, payload)

    def fail(self, error: BaseException | None) -> None:
        """Send the error that prevents an answer: never `None`, because the query has no deadline here."""
        self._send(frames.NO_STATE, pack_summary(cast(BaseException, error)))
