"""The environment in which the specification executes a block: state, header fields, and the ancestors' hashes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from alysd.embedded.engine.specification import U64, U256, Address, Bytes32, Uint, state, vm
from alysd.embedded.engine.time_budget import TimeBudget
from alysd.embedded.engine.tracing.tracer import EvmTracer
from alysd.embedded.engine.trie_state import TrieState
from alysd.types.execution import ExecutionHeader


class EelsState(TrieState):
    """A `TrieState` for the specification's functions, which `eels.py` replaces by calls of the state's methods.

    The functions for transient storage (EIP-1153) are not replaced. They work on the state `empty`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.empty = state.State()


@dataclass
class Environment(vm.BlockEnvironment):
    """A block's environment, with a time budget, and the tracer of the execution, if any."""

    budget: TimeBudget
    tracer: EvmTracer | None = None


def environment_of(
    header: ExecutionHeader,
    state: EelsState,
    ancestors: Sequence[Bytes32],
    chain_id: int,
    budget: TimeBudget,
) -> Environment:
    """The environment of the block with this header. Raises `OverflowError` for a number that is too large."""
    return Environment(
        chain_id=U64(chain_id),
        state=state,  # pyright: ignore[reportArgumentType]  # routed by eels.py
        block_gas_limit=Uint(header.gas_limit),
        block_hashes=ancestors,  # pyright: ignore[reportArgumentType]  # a list is only indexed
        coinbase=Address(header.coinbase),
        number=Uint(header.number),
        base_fee_per_gas=Uint(header.base_fee),
        time=U256(header.timestamp),
        prev_randao=Bytes32(header.prev_randao),
        excess_blob_gas=U64(header.excess_blob_gas),
        parent_beacon_block_root=Bytes32(header.parent_beacon_block_root),
        budget=budget,
    )


class AncestorHashes(Sequence[Bytes32]):
    """The hashes of the blocks up to `parent`, oldest first. They are read from the database only for BLOCKHASH.

    The specification reads only the last 256 hashes. `header` reads the header with a given hash from the
    database, which has all ancestors of `parent`.
    """

    def __init__(self, parent: ExecutionHeader, header: Callable[[bytes], ExecutionHeader]) -> None:
        self._found = [parent]
        self._header = header

    def __len__(self) -> int:
        return self._found[0].number + 1

    @overload
    def __getitem__(self, index: int) -> Bytes32: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Bytes32]: ...

    def __getitem__(self, index: int | slice) -> Bytes32 | Sequence[Bytes32]:
        """The hash at `index`, counted from the end if negative."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        back = -int(index) - 1 if index < 0 else len(self) - 1 - int(index)
        if not 0 <= back < len(self):
            raise IndexError(index)
        while len(self._found) <= back:
            self._found.append(self._header(self._found[-1].parent_hash))
        return Bytes32(self._found[back].hash)
