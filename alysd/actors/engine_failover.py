"""Two execution clients as one: the first is used, and the second while the first hangs, fails or contradicts.

Each client has an `EngineActor` of its own, which keeps it level with the chain from the database.
`EngineFailover` takes the messages for the engine and passes each on to the client in use. The other one is only
told what to execute and follow (`client_book`), so that no slot waits for it. docs/operating.md, "A second
execution client", says when which client is used.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import attrs
import trio

from alysd.actors.client_book import ClientBook
from alysd.actors.engine import ClientReport
from alysd.consensus.payload_violations import InvalidPayload
from alysd.errors import NotNow, Refused
from alysd.messages.engine import (
    BuildPayload,
    CheckClient,
    ClientReported,
    Engine,
    ExecutePayload,
    FollowHead,
    FollowPayload,
    SetForkchoice,
)
from alysd.messages.events import ExecutionClientsSeen
from alysd.messages.log.base import log
from alysd.messages.log.execution import (
    DualPathRolledBack,
    ExecutionAnswersDiffer,
    ExecutionClientOverruled,
    ExecutionClientsDiffer,
    ExecutionClientsUnusable,
    ExecutionClientTakesOver,
    ExecutionClientUsable,
    ExecutionGivenBack,
)
from alysd.nurseries import Actor, Address, Ask, CircuitOpen, NotAnswered, handles
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload
from alysd.types.chain import Forkchoice
from alysd.types.execution import ClientAnswer, ExecutionClientStatus, PayloadResults
from alysd.types.hashes import PayloadHash
from alysd.types.units import Height
from alysd.workflows.dual_path import DualPath

R = TypeVar("R")


def reports_to(failover: Address[Engine], place: int) -> ClientReport:
    """The function with which the engine actor of the client number `place` (0 or 1) reports to `failover`."""

    def report(
        *, ready: bool, height: Height | None = None, refusal: str = "", answer: ClientAnswer | None = None
    ) -> None:
        with suppress(NotAnswered):  # while the node stops
            failover.tell(ClientReported(place, ready, height, refusal, answer))

    return report


@attrs.define
class FailoverMemory:
    """The state of the two clients, the first and the second. It outlives a restart of `EngineFailover`.

    `active` is the index of the client in use, for this `reason`, which is empty for the first one. `newest` is
    the last forkchoice of the node. `usable` is false while neither client answers. `cause` is the last
    failure of the client in use, if the other one did not take over. `built` is the last payload
    that was built, with the index of its client.
    """

    clients: tuple[ClientBook, ClientBook]
    active: int = 0
    reason: str = ""
    newest: Forkchoice | None = None
    usable: bool = True
    cause: str = ""
    built: tuple[PayloadHash, int] | None = None
    dual: DualPath = attrs.field(factory=DualPath)

    @classmethod
    def of(cls, first: Address[Engine], second: Address[Engine], dual: DualPath | None = None) -> "FailoverMemory":
        """The memory at the start of a node: the first client is in use."""
        return cls((ClientBook("first", first), ClientBook("second", second)), dual=dual or DualPath())

    @property
    def used(self) -> ClientBook:
        """The client in use."""
        return self.clients[self.active]

    @property
    def other(self) -> ClientBook:
        """The client that is not in use."""
        return self.clients[1 - self.active]

    def statuses(self) -> tuple[ExecutionClientStatus, ...]:
        """The state of both clients, for operators."""
        return tuple(
            ExecutionClientStatus(
                book.name, book is self.used, book.behind(self.newest), self.reason if book is self.used else ""
            )
            for book in self.clients
        )


class EngineFailover(Actor[Engine], partial=True):
    """Passes each request on to the client in use, and to the other one if that one fails.

    The other client takes over by answering the request that the first one did not serve. While it lacks the state
    for the request, its `EngineActor` refuses. So it never builds or judges a block on another state than the
    chain's.
    """

    def __init__(
        self, memory: FailoverMemory, publish: Callable[[ExecutionClientsSeen], object], timing: Timing
    ) -> None:
        self._memory = memory
        self._publish = publish
        self._timing = timing

    @handles(BuildPayload)
    async def build_payload(self, message: BuildPayload) -> ExecutionPayload:
        """Build with the client in use. Raises `NotNow` if no client does."""
        payload = await self._checked(message, self._timing.failover_build)
        self._memory.built = payload.block_hash, self._memory.active
        return payload

    @handles(ExecutePayload)
    async def execute_payload(self, message: ExecutePayload) -> PayloadResults:
        """Execute with the client in use. The other one executes the payload too, and nothing waits for it.

        Raises what `EngineActor.execute_payload` raises.
        """
        memory, payload = self._memory, message.payload
        memory.dual.refresh()
        compare = memory.other.ready and memory.dual.begin(payload.block_hash, payload.block_number)
        memory.other.tell(FollowPayload(payload, message.parent_beacon_block_root, compare))
        used, begun = memory.active, trio.current_time()

        def note(results: PayloadResults | None, failure: str = "") -> None:
            """Keep the answer for comparison. If the other client has served the request, this one has failed."""
            if compare:
                failure = failure or ("" if memory.active == used else "the other client has served the request")
                answer = ClientAnswer(payload.block_hash, results, trio.current_time() - begun, failure)
                self._compare(used, answer)

        try:
            results = await self._checked(message, self._timing.failover_execute, message.deadline)
        except InvalidPayload as error:
            note(None)
            if not message.approved:
                raise
            return await self._overruled(message, error)
        except (NotAnswered, Refused) as error:
            note(None, str(error))
            raise
        note(results)
        return results

    @handles(SetForkchoice)
    async def set_forkchoice(self, message: SetForkchoice) -> None:
        """Set the head of both clients; only the one in use is waited for. This is the moment to give back."""
        memory = self._memory
        memory.other.expect(memory.newest)
        memory.newest = message.forkchoice
        memory.other.tell(FollowHead(message.forkchoice))
        try:
            await self._served(message, self._timing.head_update)
            memory.used.height = message.forkchoice.head.height
            await self._give_back(message)
        finally:
            self._publish(self._seen())

    @handles(ClientReported)
    async def client_reported(self, message: ClientReported) -> None:
        """Note how far a client is, and tell the one that is not in use what it has not been told yet."""
        memory = self._memory
        book = memory.clients[message.place]
        if message.refusal:
            log(ExecutionClientsDiffer(book.name, message.refusal))
        book.reported(message.height, memory.newest, ready=message.ready)
        if message.answer is not None:
            self._compare(message.place, message.answer)
        if book is memory.other:
            book.tell_next(memory.newest)

    def _compare(self, place: int, answer: ClientAnswer) -> None:
        """Take one client's answer for a block. Tell of a difference, and of a roll-back."""
        dual = self._memory.dual
        before = dual.rolled_back
        found = dual.add(place, answer)
        if found is not None and found.agree is False:
            log(ExecutionAnswersDiffer(f"0x{answer.block.hex()}"))
        if dual.rolled_back and not before:
            log(DualPathRolledBack(dual.rolled_back))
            self._publish(self._seen())

    def _seen(self) -> ExecutionClientsSeen:
        return ExecutionClientsSeen(self._memory.statuses(), self._memory.dual.status())

    async def _checked(self, message: Ask[Engine, R], seconds: float, deadline: float = math.inf) -> R:
        """Serve a request for which a slot waits. A client that hangs is noticed in a fraction of `seconds`.

        While the other client is not level, a slow one has all its time, because none could take over.
        """
        if self._memory.other.level_since is None:
            return await self._served(message, seconds, deadline)
        try:
            await self._memory.used.address.ask(CheckClient(), seconds=self._timing.failover_check)
        except NotAnswered as error:
            return await self._by_other(message, seconds, error)
        return await self._served(message, seconds, deadline)

    async def _served(self, message: Ask[Engine, R], seconds: float, deadline: float = math.inf) -> R:
        """Serve a request whose asker gives up at `deadline`."""
        try:
            answer = await self._memory.used.address.ask(message, seconds=seconds)
        except NotNow as error:
            if trio.current_time() >= deadline:
                raise  # the author of the block decides how long it takes: it is not the client's failure
            return await self._by_other(message, seconds, error)
        except NotAnswered as error:
            return await self._by_other(message, seconds, error)
        self._memory.cause = ""
        if not self._memory.usable:
            self._memory.usable = True
            log(ExecutionClientUsable(self._memory.used.name))
        return answer

    async def _by_other(self, message: Ask[Engine, R], seconds: float, failure: Exception) -> R:
        """Let the other client serve a request. If it does, it is in use from now on.

        `failure` is that of the client in use. Raises `NotNow` if the other client does not serve the request
        either, and its refusal if it refuses for another reason.
        """
        memory = self._memory
        if not isinstance(failure, CircuitOpen):  # which only says that the client has failed before
            memory.cause = str(failure)
        try:
            answer = await memory.other.address.ask(message, seconds=seconds)
        except (NotAnswered, NotNow) as error:
            words = f"the {memory.used.name} client: {failure}; the {memory.other.name} client: {error}"
            if memory.usable and isinstance(failure, NotAnswered):
                memory.usable = False
                log(ExecutionClientsUnusable(words))
            raise NotNow(f"no execution client serves the request: {words}") from error
        except Refused:
            self._switch(memory.cause or str(failure))
            raise
        self._switch(memory.cause or str(failure))
        return answer

    async def _overruled(self, message: ExecutePayload, error: InvalidPayload) -> PayloadResults:
        """Ask the other client about a block that a quorum has approved, but the client in use finds invalid.

        If it finds the block valid, it agrees with a quorum of the authorities, and is in use from now on. This
        gives no approval of the block: block import never does. If it finds it invalid too, and the client in use
        has built the block, that one contradicts itself, and would lose each slot of this node. This happens only
        to a node whose approval is a quorum: other members execute their own blocks only after an approval by one.
        """
        memory = self._memory
        try:
            results = await memory.other.address.ask(message, seconds=self._timing.failover_execute)
        except InvalidPayload:
            if memory.built == (message.payload.block_hash, memory.active):
                self._switch(f"it finds block {message.payload.block_number} invalid, which it has built itself")
            raise error from None
        except (NotAnswered, Refused):
            raise error from None
        log(ExecutionClientOverruled(memory.used.name, message.payload.block_number, error.reason))
        self._switch(f"it finds block {message.payload.block_number} invalid, which a quorum has approved")
        return results

    def _switch(self, reason: str) -> None:
        """Use the other client, because the client in use has failed."""
        memory = self._memory
        memory.used.failed(self._timing)
        memory.reason = f"the {memory.used.name} client failed: {reason}"
        memory.active, memory.usable, memory.cause = 1 - memory.active, True, ""
        memory.used.drop_waiting()
        log(ExecutionClientTakesOver(memory.used.name, memory.reason))
        if memory.active == memory.dual.preferred:
            memory.reason = ""
            memory.used.returned()
        self._publish(self._seen())

    async def _give_back(self, message: SetForkchoice) -> None:
        """Use the preferred client (again), if it has been level for long enough and accepts the head."""
        memory = self._memory
        memory.dual.refresh()
        preferred = memory.clients[memory.dual.preferred]
        if memory.used is preferred:
            memory.reason = ""
            return
        if not preferred.proved():
            return
        try:
            await preferred.address.ask(message, seconds=self._timing.failover_check)
        except (NotAnswered, NotNow):
            preferred.failed(self._timing)
            return
        preferred.returned()
        preferred.height = message.forkchoice.head.height
        preferred.drop_waiting()
        memory.active, memory.reason = memory.dual.preferred, ""
        log(ExecutionGivenBack(preferred.name, message.forkchoice.head.height))
