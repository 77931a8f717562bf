"""Changes of the state and of the block, on which a call is executed as if they were on the chain."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

import attrs

from alysd.embedded.engine.environment import EelsState
from alysd.embedded.engine.specification import U256, Account, Address, Bytes, Bytes32, Uint
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei


@attrs.frozen
class AccountOverride:
    """The new values of an account; None leaves a value as it is.

    `storage` replaces all slots, `slots` sets some of them. Keys have 32 bytes; the balance is in wei.
    """

    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    storage: Mapping[bytes, int] | None = None
    slots: Mapping[bytes, int] = attrs.Factory(dict[bytes, int])


@attrs.frozen
class BlockOverride:
    """The new values of a block; None leaves a value as it is. The base fee is in wei per gas."""

    number: int | None = None
    timestamp: int | None = None
    gas_limit: int | None = None
    coinbase: EvmAddress | None = None
    prev_randao: bytes | None = None
    base_fee: Wei | None = None

    def applied(self, header: ExecutionHeader) -> ExecutionHeader:
        """The header with the new values. Its `hash` remains that of the old values."""
        if self == NO_BLOCK_OVERRIDE:
            return header
        given: dict[str, Any] = {name: value for name, value in attrs.asdict(self).items() if value is not None}
        return attrs.evolve(header, **given)


NO_BLOCK_OVERRIDE = BlockOverride()


@attrs.frozen
class Overrides:
    """The changes to accounts and to the block that a caller asks for, made before its call is executed."""

    accounts: Mapping[EvmAddress, AccountOverride] = attrs.Factory(dict[EvmAddress, AccountOverride])
    block: BlockOverride = NO_BLOCK_OVERRIDE


NO_OVERRIDES = Overrides()


def override_state(state: EelsState, accounts: Mapping[EvmAddress, AccountOverride]) -> None:
    """Change a state before a call begins."""
    for name, new in accounts.items():
        if new == AccountOverride():
            continue  # otherwise it would create an empty account
        address = Address(name)
        old = state.get_account(address)
        account = Account(
            old.nonce if new.nonce is None else Uint(new.nonce),
            old.balance if new.balance is None else U256(new.balance),
            old.code if new.code is None else Bytes(new.code),
        )
        state.set_account(address, account)
        if new.code is not None:
            state.mark_code_replaced(address)
        if new.storage is not None:
            state.destroy_storage(address)
        for key, value in {**(new.storage or {}), **new.slots}.items():
            state.set_storage(address, Bytes32(key), U256(value))
    state.checkpoint()


class HashesAt(Sequence[Bytes32]):
    """The block hashes that a block with this `number` sees: `known` has those of the blocks from 0 on.

    A block that does not exist has the hash zero, as in geth.
    """

    def __init__(self, known: Sequence[Bytes32], number: int) -> None:
        self._known = known
        self._number = number

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> Bytes32: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Bytes32]: ...

    def __getitem__(self, index: int | slice) -> Bytes32 | Sequence[Bytes32]:
        """The hash at `index`, counted from the end if negative."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = int(index) + self._number if index < 0 else int(index)
        return self._known[at] if 0 <= at < len(self._known) else Bytes32(bytes(32))
