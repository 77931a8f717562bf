"""Deferred replies: a handler goes on without an answer, and the ask is answered later.

    @handles(GetHead)
    async def get_head(self, message: GetHead) -> Deferred[Head]:
        token: Deferred[Head] = Deferred()
        self.askers.append(token)
        return token

    @handles(HeadFound)
    async def head_found(self, message: HeadFound) -> None:
        for token in self.askers:
            token.reply(message.head)

A handler that returns a `Deferred` has not answered its ask. The actor handles other messages, until a later
handler or another task calls the token's `reply` or `fail`. The asker's timeout still applies. If the instance
ends first, the ask fails as if its handler had still been running.
"""

from typing import Any, Generic, Protocol, TypeVar

from alysd.nurseries.asks import Pending
from alysd.nurseries.errors import NotAnswered, WrongThread, as_crash, is_fatal
from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.threads import in_run

R = TypeVar("R")


class Deferring(Protocol):
    """The part of an address that deferred replies use."""

    name: str
    deferred: "dict[Deferred[Any], None] | None"

    @property
    def mailbox(self) -> Mailbox[Any]:
        """The mailbox, which knows the trio run of the actor."""
        ...


class Deferred(Generic[R]):
    """The answer to one ask, given by the first call of `reply` or `fail`. Later calls have no effect.

    Both raise `WrongThread` in a thread in which the actor's system does not run.
    """

    __slots__ = ("_address", "_fatal", "_outcome", "_passed", "_pending")

    def __init__(self) -> None:
        # The address and the ask, once the handler has returned this token.
        self._address: Deferring | None = None
        self._pending: Pending | None = None
        # Types of errors that reach the asker as they are.
        self._passed: tuple[type[Exception], ...] = ()
        # Types of errors that end the system.
        self._fatal: tuple[type[Exception], ...] = ()
        # The value or the error that was given.
        self._outcome: tuple[R | None, Exception | None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is still of use: none was given, and the asker has not given up."""
        return self._outcome is None and (self._pending is None or self._pending.task is not None)

    def reply(self, value: R) -> None:
        """Answer the ask."""
        self._give(value, None)

    def fail(self, error: Exception) -> None:
        """Let the ask fail.

        The asker gets a refusal or a `NotAnswered` as it is, and any other error inside a `HandlerCrashed`. A
        fatal error is then raised in the caller too, because it concerns the whole system. If the handler has not
        returned this token yet, the fatal error is raised when the handler returns it.
        """
        if not isinstance(error, Exception):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"an ask cannot fail with {error!r}, which is not an Exception")
        self._give(None, error)
        self._raise_if_fatal(error)

    def end(self, error: NotAnswered) -> None:
        """Let the ask fail, because its instance has ended. For the runtime."""
        self._give(None, error)

    def _raise_if_fatal(self, error: Exception | None) -> None:
        if error is not None and is_fatal(error, self._fatal):
            raise error

    def _give(self, value: R | None, error: Exception | None) -> None:
        address = self._address
        if address is not None:
            token = address.mailbox.token
            if token is not None and not in_run(token):
                raise WrongThread(address.name, "answer an ask of", "use trio.from_thread.run_sync")
        if self._outcome is None:
            self._outcome = (value, error)
            if address is not None:
                self._deliver(address)

    def _deliver(self, address: Deferring) -> None:
        pending = self._pending
        if pending is None or self._outcome is None:
            return
        self.vacate()
        value, error = self._outcome
        if error is None:
            pending.reply(value)
        else:
            pending.fail(error if isinstance(error, self._passed) else as_crash(address.name, error))

    # Called by the runtime

    def bind(
        self,
        address: Deferring,
        pending: Pending,
        refusals: tuple[type[Exception], ...],
        fatal: tuple[type[Exception], ...],
    ) -> None:
        """Make this the answer to an ask, because its handler has returned it.

        Raises `RuntimeError` if it is the answer to another ask already, and the error that was given if it is one
        of the types `fatal`.
        """
        if self._address is not None:
            raise RuntimeError(f"{address.name} returned one Deferred for two asks; make a new one for each ask")
        self._address, self._passed, self._fatal = address, (*refusals, NotAnswered), fatal
        self._pending = pending
        if pending.task is not None:  # otherwise the asker gave up while the handler was running
            pending.place = self
            if address.deferred is None:
                address.deferred = {}
            address.deferred[self] = None
            self._deliver(address)
        if self._outcome is not None:
            self._raise_if_fatal(self._outcome[1])

    def vacate(self) -> None:
        """Forget the ask, which has ended."""
        pending = self._pending
        if pending is not None and self._address is not None and self._address.deferred is not None:
            pending.place = None
            self._address.deferred.pop(self, None)


def fail_deferred(address: Deferring, error: NotAnswered) -> None:
    """Let all asks that wait for a deferred reply fail with `error`, because the instance has ended."""
    tokens = address.deferred
    address.deferred = None
    for token in tokens or ():
        token.end(error)
