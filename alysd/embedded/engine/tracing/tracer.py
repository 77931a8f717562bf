"""The events of an execution of which a tracer is told, as by geth's hooks (core/tracing)."""

from typing import Any

import attrs

from alysd.embedded.engine.specification import Address


@attrs.frozen
class TraceStart:
    """The transaction that begins, before anything is paid. `world` is the state, an `EelsState`."""

    world: Any
    sender: Address
    to: Address
    """The recipient, or the contract that the transaction creates."""

    creates: bool
    coinbase: Address
    gas: int


@attrs.frozen
class CallStart:
    """A message that begins: the transaction's own, one of CALL or CREATE, or a SELFDESTRUCT."""

    type: str
    sender: bytes
    to: bytes
    input: bytes
    gas: int
    value: int | None
    depth: int


@attrs.frozen
class CallEnd:
    """The end of a message; `error` has geth's words."""

    gas_used: int
    output: bytes
    error: str | None
    depth: int


@attrs.define
class TracedStep:
    """An instruction before its execution, with its cost.

    `stack` has the top at its end. `frame` is the specification's `Evm`, which has memory and return data.
    `error` has geth's words, if the instruction fails before its execution.
    """

    frame: Any
    pc: int
    op: int
    gas: int
    cost: int
    stack: list[Any]
    refund: int
    error: str | None = None

    @property
    def address(self) -> Address:
        """The account whose storage the instruction uses."""
        return self.frame.message.current_target

    @property
    def depth(self) -> int:
        """1 in the message of the transaction."""
        return int(self.frame.message.depth) + 1


@attrs.frozen
class TracedLog:
    """A log, with its number in the block."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    index: int


class EvmTracer:
    """A tracer of one transaction. This base class ignores all events, and a subclass those it does not need."""

    first_log = 0
    """The number of logs in the block before the transaction."""

    def begin(self, start: TraceStart) -> None:
        """The transaction begins."""

    def enter(self, call: CallStart) -> None:
        """A message begins."""

    def leave(self, end: CallEnd) -> None:
        """The innermost message ends."""

    def step(self, step: TracedStep) -> None:
        """An instruction is executed, or cannot be."""

    def log(self, log: TracedLog, depth: int) -> None:
        """A log is written by a message at `depth`, 0 for that of the transaction."""

    def end(self, gas_used: int) -> None:
        """The transaction is over: all gas is paid, and `world` has its result."""

    def result(self) -> bytes:
        """The trace in JSON, after `end`."""
        raise NotImplementedError


class TraceTooLarge(Exception):
    """The trace does not fit into an answer."""


class Room:
    """The bytes that are left for the traces of one request."""

    def __init__(self, most: int) -> None:
        self._left = most
        self.most = most

    def take(self, size: int) -> None:
        """Use `size` bytes. Raises `TraceTooLarge` when fewer are left."""
        self._left -= size
        if self._left < 0:
            raise TraceTooLarge
