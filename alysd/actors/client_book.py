"""The state of one of two execution clients, and the messages that wait until the client can take them."""

import attrs
import trio

from alysd.messages.engine import Engine, FollowHead, FollowPayload
from alysd.nurseries import Address, NotAnswered
from alysd.timing import Timing
from alysd.types.chain import Forkchoice
from alysd.types.units import Height

MOST_WAITING = 8
"""The maximum number of messages that wait until a client has done the last one, of at most 2 MB each.

A client that is slower gets the rest from the database."""


@attrs.define
class ClientBook:
    """One client: `address` is that of its `EngineActor`. Times are those of trio's clock.

    `ready` says whether the client follows the chain, `busy` whether it has not done what it was last told.
    `height` is that of its head, None if it is not known. It has been level since `level_since`, None while it is
    not. A first client that has failed must be level for `hold` seconds before it is used again.
    """

    name: str
    address: Address[Engine]
    ready: bool = False
    busy: bool = False
    height: Height | None = None
    level_since: float | None = None
    hold: float = 0.0
    given_back_at: float | None = None
    waiting: list[FollowPayload | FollowHead] = attrs.field(factory=list["FollowPayload | FollowHead"])

    def tell(self, message: FollowPayload | FollowHead) -> None:
        """Tell the client what to do, as soon as it has done the last one.

        A client that does not follow the chain is told nothing: it gets the blocks from the database first.
        """
        if not self.ready:
            return
        if len(self.waiting) >= MOST_WAITING:
            self.waiting.clear()  # it proves to be behind at the next head, and gets the blocks from the database
        self.waiting.append(message)
        self._send()

    def tell_next(self, newest: Forkchoice | None) -> None:
        """Send the client the next waiting message, or else the newest head if it does not have this head."""
        if self.ready and not self.busy and not self.waiting and self.behind(newest) != 0 and newest is not None:
            self.waiting.append(FollowHead(newest))
        self._send()

    def _send(self) -> None:
        if self.busy or not self.waiting:
            return
        try:
            self.address.tell(self.waiting.pop(0))
        except NotAnswered:
            self.ready = False
            self.drop_waiting()
        else:
            self.busy = True

    def drop_waiting(self) -> None:
        """Forget the waiting messages."""
        self.waiting.clear()

    def reported(self, height: Height | None, newest: Forkchoice | None, *, ready: bool) -> None:
        """The client has done what it was told; see `ClientReported`."""
        self.ready, self.busy = ready, False
        if not ready:
            self.level_since = self.height = None
            self.drop_waiting()
        elif height is not None:
            self.height = height
            if self.level_since is None and self.behind(newest) == 0:
                self.level_since = trio.current_time()

    def expect(self, newest: Forkchoice | None) -> None:
        """Note that the head moves on from `newest`. A client that has not reached it is not level."""
        if self.behind(newest) != 0:
            self.level_since = None

    def behind(self, newest: Forkchoice | None) -> int | None:
        """The number of blocks by which the client is behind; None if that is not known."""
        if self.height is None or newest is None:
            return None
        return max(0, newest.head.height - self.height)

    def failed(self, timing: Timing) -> None:
        """The client was in use and has failed.

        It is used again once it has been level for some time. If it had failed shortly before too, this time
        doubles.
        """
        now, longest = trio.current_time(), timing.failover_longest_hold
        again = self.given_back_at is None or now - self.given_back_at < longest
        self.hold = min(max(timing.failover_hold, 2 * self.hold if again else 0.0), longest)
        self.height = self.level_since = None
        self.drop_waiting()

    def proved(self) -> bool:
        """Whether the client has been level for so long that it may be used again."""
        return self.level_since is not None and trio.current_time() - self.level_since >= self.hold

    def returned(self) -> None:
        """The client is in use again."""
        self.given_back_at = trio.current_time()
