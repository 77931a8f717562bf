"""Signals: messages that the runtime itself sends to one instance of an actor, when a timer or a watch is due.

A signal waits in the actor's mailbox in line with the other messages. It differs from them in three ways:

- It never waits for room and is never dropped because the mailbox is full: it is queued beyond the capacity. The
  queue stays bounded, because each timer and each watch has at most one message in it.
- It belongs to the instance that asked for it. When that instance ends, or cancels it, the message is not handled.
- It is made when it is handled, in the task of the actor. The queue holds the `Signal` itself.
"""

from abc import ABC, abstractmethod
from time import perf_counter
from typing import Any

from alysd.nurseries.mailbox import Mailbox


class Signal(ABC):
    """The source of messages to one instance: a timer or a watch.

    It is `active` until it is cancelled, over, or its instance has ended. `waiting` says whether it is queued.
    """

    __slots__ = ("_inbox", "_owned", "active", "waiting")

    def __init__(self, inbox: Mailbox[Any], owned: "set[Signal]") -> None:
        self.active = True
        self.waiting = False
        self._inbox = inbox
        self._owned = owned
        owned.add(self)

    def cancel(self) -> None:
        """End the timer or watch. A message of it in the queue is not handled. A second call does nothing."""
        self.active = False
        self._owned.discard(self)

    @property
    @abstractmethod
    def message(self) -> object:
        """The newest message, for a dead letter."""

    @abstractmethod
    def take(self) -> object:
        """The message to handle. Called when the actor has taken the signal from its queue."""

    def enqueue(self) -> None:
        """Put this signal at the end of the queue, unless the actor accepts no messages. Never waits."""
        inbox = self._inbox
        if not inbox.closed:
            self.waiting = True
            inbox.queue.append((self, perf_counter(), None))
            inbox.wake()
