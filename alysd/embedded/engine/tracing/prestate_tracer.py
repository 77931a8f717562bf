"""The accounts that a transaction touches: geth's `prestateTracer` (eth/tracers/native/prestate.go)."""

import json
from typing import Any

import attrs

from alysd.embedded.engine.specification import Address, Bytes32, state
from alysd.embedded.engine.tracing.opcodes import (
    CALL,
    CALLCODE,
    CREATE,
    CREATE2,
    DELEGATECALL,
    SELFDESTRUCT,
    STATICCALL,
)
from alysd.embedded.engine.tracing.tracer import EvmTracer, Room, TracedStep, TraceStart
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import encode, encode_integer

_SLOTS = frozenset((0x54, 0x55))
_ACCOUNTS = frozenset((0x31, 0x3B, 0x3C, 0x3F, SELFDESTRUCT))
_CALLS = frozenset((CALL, CALLCODE, DELEGATECALL, STATICCALL))
_ACCOUNT_BYTES, _SLOT_BYTES = 300, 150
"""About the sizes of an account and of a slot in JSON."""

_MOST_PADDING = 2**20
"""geth does not look up a CREATE2 whose code is as far beyond the memory (memoryPadLimit)."""


@attrs.frozen
class PrestateOptions:
    """The content of a trace.

    With `diff`, it has the values that the transaction changes, before and after it. With `empty`, it also has
    empty accounts.
    """

    diff: bool = False
    code: bool = True
    storage: bool = True
    empty: bool = False


@attrs.define
class _Account:
    nonce: int
    balance: int
    code: bytes
    slots: dict[bytes, int] = attrs.Factory(dict[bytes, int])

    @property
    def empty(self) -> bool:
        """Whether geth leaves the account out: it looks at slots only before any is read."""
        return not (self.nonce or self.balance or self.code)


class PrestateTracer(EvmTracer):
    """Reads each account and each slot before the transaction changes it."""

    def __init__(self, room: Room, options: PrestateOptions) -> None:
        self._room = room
        self._options = options
        self._world: Any = None
        self._before: dict[bytes, _Account] = {}
        self._created: set[bytes] = set()
        self._deleted: set[bytes] = set()
        self._result: Any = None

    def begin(self, start: TraceStart) -> None:
        """Read the accounts that every transaction touches."""
        self._world = start.world
        if start.creates:
            self._created.add(start.to)
        for address in (start.sender, start.to, start.coinbase):
            self._look_up(address)

    def step(self, step: TracedStep) -> None:
        """Read what the instruction is about to touch."""
        if step.error is not None:
            return
        op, stack, own = step.op, step.stack, step.address
        if op in _SLOTS:
            self._look_up_slot(own, int(stack[-1]).to_bytes(32, "big"))
        elif op in _ACCOUNTS:
            self._look_up(_address(stack[-1]))
            if op == SELFDESTRUCT and own in self._created:
                self._deleted.add(own)
        elif op in _CALLS:
            self._look_up(_address(stack[-2]))
        elif op == CREATE:
            nonce = int(state.get_account(self._world, own).nonce)
            self._look_up_new(keccak256(encode([own, encode_integer(nonce)]))[12:])
        elif op == CREATE2:
            start, length = int(stack[-2]), int(stack[-3])
            memory = step.frame.memory
            if start + length - len(memory) <= _MOST_PADDING:
                code = bytes(memory[start : start + length]).ljust(length, b"\0")
                salt = int(stack[-4]).to_bytes(32, "big")
                self._look_up_new(keccak256(b"\xff" + own + salt + keccak256(code))[12:])

    def end(self, gas_used: int) -> None:  # noqa: ARG002
        """Make the result: the accounts before the transaction or, with `diff`, the changes by it."""
        before = self._before
        if not self._options.diff:
            shown = {address: self._view(one) for address, one in before.items() if self._shows(one)}
            self._result = {_hex(address): view for address, view in shown.items()}
            return
        pre: dict[str, Any] = {}
        post: dict[str, Any] = {}
        for address, old in before.items():
            if address not in self._deleted:
                change = self._change(address, old)
                if change is None:
                    continue
                post[_hex(address)] = change
            if not old.empty:
                pre[_hex(address)] = self._view(old)
        self._result = {"post": post, "pre": pre}

    def result(self) -> bytes:
        """The accounts by address."""
        return json.dumps(self._result, separators=(",", ":")).encode()

    def _shows(self, account: _Account) -> bool:
        return self._options.empty or not account.empty

    def _look_up(self, address: bytes) -> None:
        if address in self._before:
            return
        found = state.get_account(self._world, Address(address))
        code = bytes(found.code)
        self._room.take(_ACCOUNT_BYTES + (2 * len(code) if self._options.code else 0))
        self._before[address] = _Account(int(found.nonce), int(found.balance), code)

    def _look_up_new(self, address: bytes) -> None:
        self._look_up(address)
        self._created.add(address)

    def _look_up_slot(self, address: bytes, key: bytes) -> None:
        slots = self._before[address].slots
        if self._options.storage and key not in slots:
            self._room.take(2 * _SLOT_BYTES)
            slots[key] = self._slot(address, key)

    def _slot(self, address: bytes, key: bytes) -> int:
        return int(state.get_storage(self._world, Address(address), Bytes32(key)))

    def _change(self, address: bytes, old: _Account) -> dict[str, Any] | None:
        """The new values of an account; None if nothing is. Slots that have not changed are removed from `old`."""
        new = state.get_account(self._world, Address(address))
        view: dict[str, Any] = {}
        if int(new.balance) != old.balance:
            view["balance"] = hex(int(new.balance))
        if int(new.nonce) != old.nonce:
            view["nonce"] = int(new.nonce)
        changed = bool(view)
        if state.get_account_optional(self._world, Address(address)) is None:
            changed = True
            view["codeHash"] = _hex(bytes(32))  # as geth shows accounts that do not exist, also those untouched
        elif bytes(new.code) != old.code:
            changed = True
            view["codeHash"] = _hex(keccak256(new.code))
            if self._options.code:
                self._room.take(2 * len(new.code))
                view["code"] = _hex(new.code)
        slots: dict[str, str] = {}
        for key, value in list(old.slots.items()):
            now = self._slot(address, key)
            if now == value or not value:
                del old.slots[key]
            if now != value:
                changed = True
                if now:
                    slots[_hex(key)] = _word(now)
        if slots:
            view["storage"] = slots
        view = {name: value for name, value in view.items() if value != 0}
        return view if changed else None

    def _view(self, account: _Account) -> dict[str, Any]:
        view: dict[str, Any] = {"balance": hex(account.balance)}
        if account.code:
            if self._options.code:
                view["code"] = _hex(account.code)
            view["codeHash"] = _hex(keccak256(account.code))
        if account.nonce:
            view["nonce"] = account.nonce
        if account.slots:
            view["storage"] = {_hex(key): _word(value) for key, value in account.slots.items()}
        return view


def _address(value: Any) -> bytes:
    return (int(value) & ((1 << 160) - 1)).to_bytes(20, "big")


def _word(value: int) -> str:
    return f"0x{value:064x}"


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"
