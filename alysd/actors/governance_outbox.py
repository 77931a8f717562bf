"""The requests that the governance has not acknowledged, on disk, and which of them to send now."""

import trio

from alysd.errors import NotNow, StoreError
from alysd.ports import KeptRecords
from alysd.wire.governance import REQUEST_SECONDS
from alysd.wire.governance_values import EncodedRequest

MOST_REQUESTS = 1024
"""The bound of the outbox: a month of deposits of a chain that has one each 45 minutes."""

MOST_REQUEST_BYTES = 20 << 10
"""The bound of a request: that for signatures of the largest payment, which has 8 KiB and 100 inputs. There
are few of these; a notification has some 300 bytes."""

IN_FLIGHT = 16
"""The most requests that wait for their acknowledgement on a connection: the others wait for these."""


class GovernanceOutbox:
    """The unacknowledged requests, oldest first. A new connection sends all of them again."""

    def __init__(self, records: KeptRecords) -> None:
        self._records = records
        self._sent: dict[str, float] = {}
        self._changed = trio.Event()
        self._one_at_a_time = trio.CapacityLimiter(1)

    def __len__(self) -> int:
        return len(self._records.all())

    async def add(self, request: EncodedRequest) -> None:
        """Keep a request until it is acknowledged. Raises `NotNow` if the outbox is full, or the disk fails."""
        try:
            await trio.to_thread.run_sync(self._records.put, request.id, request.data, limiter=self._one_at_a_time)
        except StoreError as error:
            raise NotNow(str(error)) from None
        self.wake()

    def __contains__(self, request: str) -> bool:
        return any(key == request for key, _ in self._records.all())

    async def remove(self, request: str) -> bool:
        """Forget a request that was answered. Returns whether the outbox had it. Raises `StoreError`."""
        if request not in self:
            return False
        await trio.to_thread.run_sync(self._records.remove, request, limiter=self._one_at_a_time)
        self._sent.pop(request, None)
        self.wake()
        return True

    def connected(self) -> None:
        """Send all requests again: nobody knows what of the last connection has arrived."""
        self._sent.clear()

    def due(self) -> list[EncodedRequest]:
        """The requests to send now, and count them as sent. One without an answer is due again after a while."""
        now = trio.current_time()
        waiting = {key for key, at in self._sent.items() if now - at < REQUEST_SECONDS}
        found = [EncodedRequest(key, data) for key, data in self._records.all() if key not in waiting]
        found = found[: max(0, IN_FLIGHT - len(waiting))]
        for request in found:
            self._sent[request.id] = now
        return found

    def wake(self) -> None:
        """Let `changed` return."""
        self._changed.set()
        self._changed = trio.Event()

    async def changed(self, seconds: float) -> None:
        """Wait for a change of the outbox, at most `seconds`."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
