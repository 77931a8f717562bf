"""The federations of a chain, by its specification and the signed changes of the federation.

Neither of the two chains shows a change, so an audit gets the files. It checks the signatures of the governance
itself. It cannot check that a change has taken effect on the chain.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
from btclib_secp256k1 import ssa

from alysd.audit.records import FederationRecord
from alysd.errors import UserError
from alysd.types.chain_spec import ChainSpec
from alysd.types.federation import quorum_of
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash, EvmAddress
from alysd.types.units import Height
from alysd.wire.federation_update import update_message

_PUSH_KEY, _CHECKSIG, _CHECKSIGADD, _NUMEQUAL, _OP_0, _LARGEST_OP = 32, 0xAC, 0xBA, 0x9C, 0x50, 16


@attrs.frozen
class NamedUpdate:
    """A change of the federation, and the name of its file for errors."""

    name: str
    update: FederationUpdate


def checked(updates: Sequence[NamedUpdate], spec: ChainSpec, genesis: BlockHash) -> tuple[FederationUpdate, ...]:
    """The changes of the members by their sequence, which begins with 1. Raises `UserError` with the first fault.

    `genesis` is the hash of the chain's genesis block. Halts and resumptions of the peg have a sequence of their
    own, and change no members: only their signatures and their form are checked.
    """
    ordered = sorted(updates, key=lambda one: (one.update.track, one.update.sequence))
    for one in ordered:
        if one.update.track == "peg":
            _check_signed(one, spec, genesis)
    changes = [one for one in ordered if one.update.track == "members"]
    height = 0
    for expected, one in enumerate(changes, start=1):
        update = one.update
        if update.sequence != expected:
            raise UserError(
                f"{one.name}: it is change {update.sequence} of the members, and change {expected} is needed: "
                "give the files of all changes of the members that have taken effect, each once"
            )
        if update.effective_height <= height:
            raise UserError(
                f"{one.name}: it takes effect at height {update.effective_height}, and the change before it at "
                f"height {height}"
            )
        height = update.effective_height
        _check_signed(one, spec, genesis)
    return tuple(one.update for one in changes)


def _check_signed(one: NamedUpdate, spec: ChainSpec, genesis: BlockHash) -> None:
    """Check the signatures of the update, and that it names members if it changes them. Raises `UserError`."""
    _check_signatures(one, spec, genesis)
    update = one.update
    if (update.kind == "members") != bool(update.members and update.fee_addresses):
        raise UserError(
            f"{one.name}: it is of the kind {update.kind}, with {len(update.members)} members and "
            f"{len(update.fee_addresses)} fee addresses: no chain takes such a change"
        )


def _check_signatures(one: NamedUpdate, spec: ChainSpec, genesis: BlockHash) -> None:
    """Check that enough governance keys have signed the update, each once. Raises `UserError`."""
    keys, needed = spec.governance_keys, spec.governance_threshold
    if not keys:
        raise UserError(
            f"{one.name}: the chain {spec.name} has no governance keys, so its federation never changes"
        )
    indices = {signature.index for signature in one.update.signatures}
    if len(indices) < len(one.update.signatures) or len(indices) < needed:
        raise UserError(f"{one.name}: {len(indices)} governance keys have signed it, and {needed} are needed")
    message = update_message(one.update, genesis)
    for signature in one.update.signatures:
        known = signature.index < len(keys)
        if not known or not _holds(message, keys[signature.index], signature.signature):
            raise UserError(
                f"{one.name}: the signature of governance key {signature.index} does not match: the file is "
                "damaged, or of another chain"
            )


def _holds(message: bytes, key: bytes, signature: bytes) -> bool:
    try:
        return bool(ssa.verify(message, key, signature))
    except ValueError:
        return False


def federation_leaf(keys: tuple[bytes, ...], quorum: int) -> bytes:
    """The script `multi_a(quorum, keys)` of a federation (BIP-387), with which its outputs are spent."""
    first, *others = keys
    script = bytes([_PUSH_KEY]) + first + bytes([_CHECKSIG])
    script += b"".join(bytes([_PUSH_KEY]) + key + bytes([_CHECKSIGADD]) for key in others)
    number = bytes([_OP_0 + quorum]) if quorum <= _LARGEST_OP else bytes([1, quorum])
    return script + number + bytes([_NUMEQUAL])


async def federations(
    spec: ChainSpec,
    updates: Sequence[FederationUpdate],
    script_of: Callable[[tuple[bytes, ...], int], Awaitable[bytes]],
) -> tuple[FederationRecord, ...]:
    """The federations of the chain, the first one first.

    `script_of` makes the output script of some x-only keys, of which so many must sign.
    """
    changes: list[tuple[tuple[bytes, ...], tuple[EvmAddress, ...], Height]] = [
        (tuple(spec.federation_bitcoin_keys), spec.federation_fee_addresses, Height(0))
    ]
    changes += [
        (tuple(one.bitcoin_key for one in update.members), update.fee_addresses, update.effective_height)
        for update in updates
    ]
    return tuple(
        [
            FederationRecord(
                await script_of(keys, quorum_of(len(keys))),
                addresses,
                since,
                federation_leaf(keys, quorum_of(len(keys))),
            )
            for keys, addresses, since in changes
        ]
    )


def check_in_force(found: Sequence[FederationRecord], height: Height) -> None:
    """Raise `UserError` for a federation that is not in force at this height: it does not count deposits yet."""
    for one in found:
        if one.since > height:
            raise UserError(
                f"--update: a change takes effect at height {one.since}, and the audit has read the blocks up to "
                f"{height}: leave this change out until then"
            )
