"""The accounts and slots that a message uses: geth's (eth/tracers/logger/access_list_tracer.go)."""

from collections.abc import Collection

from alysd.embedded.engine.tracing.opcodes import CALL, CALLCODE, DELEGATECALL, SELFDESTRUCT, SSTORE, STATICCALL
from alysd.embedded.engine.tracing.tracer import CallEnd, EvmTracer, TracedStep
from alysd.embedded.engine.transaction import AccessList
from alysd.types.hashes import EvmAddress

_SLOTS = frozenset((0x54, SSTORE))
_PLACES = {
    **dict.fromkeys((0x31, 0x3B, 0x3C, 0x3F, SELFDESTRUCT), 1),
    **dict.fromkeys((CALL, CALLCODE, DELEGATECALL, STATICCALL), 2),
}
"""The place of the address on the stack, from the top."""


class AccessListTracer(EvmTracer):
    """Collects the accounts and slots, beginning with those of the list `before`.

    An address in `known` is left out, unless one of its slots is used.
    """

    def __init__(self, before: AccessList, known: Collection[bytes]) -> None:
        self._known = known
        self._found: dict[bytes, set[bytes]] = {}
        self.error: str | None = None
        for address, keys in before:
            if address not in known:
                self._found.setdefault(address, set()).update(keys)

    def step(self, step: TracedStep) -> None:
        """Add the account or the slot that an instruction uses."""
        if step.op in _SLOTS and step.stack:
            self._found.setdefault(step.address, set()).add(int(step.stack[-1]).to_bytes(32, "big"))
        place = _PLACES.get(step.op)
        if place is not None and len(step.stack) >= (1 if place == 1 else 5):
            address = (int(step.stack[-place]) & ((1 << 160) - 1)).to_bytes(20, "big")
            if address not in self._known:
                self._found.setdefault(address, set())

    def leave(self, end: CallEnd) -> None:
        """Keep the error of the first message."""
        if end.depth == 0:
            self.error = end.error

    def list(self) -> AccessList:
        """The accounts and slots found, sorted."""
        return tuple((EvmAddress(address), tuple(sorted(keys))) for address, keys in sorted(self._found.items()))
