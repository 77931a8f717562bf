"""Changes of the federation in SSZ, and the message that governance signs (docs/protocol.md)."""

from collections.abc import Sequence

import attrs

from alysd.errors import Malformed
from alysd.types.federation_update import (
    MAX_GOVERNANCE_KEYS,
    FederationMember,
    FederationUpdate,
    GovernanceSignature,
    UpdateKind,
)
from alysd.types.hashes import BlockHash, sha256
from alysd.wire.ssz import Bytes, UInt
from alysd.wire.ssz_composite import Container, ListOf

KINDS: tuple[UpdateKind, ...] = ("members", "halt", "resume")
"""The kinds of updates in the order of their bytes: 1, 2, 3."""

MAX_UPDATE_BYTES = 10_240
"""More than the largest update: 32 members with 240 bytes each, 16 addresses, 32 signatures, and 29 bytes."""

_TAG = sha256(b"alysd/federation update")
"""Separates the signed messages from all others that a Bitcoin key signs (tagged hashes, BIP-340)."""


@attrs.frozen
class _Kind:
    """The kind of an update, a byte from 1 on."""

    size: int = 1

    def encode(self, value: UpdateKind) -> bytes:
        return bytes([KINDS.index(value) + 1])

    def decode(self, data: bytes) -> UpdateKind:
        number = UInt(1).decode(data)
        if not 1 <= number <= len(KINDS):
            raise Malformed(f"the kind of an update must be 1 to {len(KINDS)}, found {number}")
        return KINDS[number - 1]

    def root(self, value: UpdateKind) -> bytes:
        return UInt(1).root(KINDS.index(value) + 1)


_MEMBER = Container(
    FederationMember,
    authority=Bytes(48),
    authority_proof=Bytes(96),
    bitcoin_key=Bytes(32),
    bitcoin_proof=Bytes(64),
)

FEDERATION_UPDATE = Container(
    FederationUpdate,
    sequence=UInt(8),
    effective_height=UInt(8),
    kind=_Kind(),
    members=ListOf(_MEMBER, 32),
    fee_addresses=ListOf(Bytes(20), 16),
    signatures=ListOf(Container(GovernanceSignature, index=UInt(2), signature=Bytes(64)), MAX_GOVERNANCE_KEYS),
)
"""`FederationUpdate` of docs/protocol.md."""


def update_message(update: FederationUpdate, genesis: BlockHash) -> bytes:
    """The message that the governance keys sign, 32 bytes: of `update` without its signatures, on one chain.

    `genesis` is the hash of the chain's genesis block. Raises `Malformed` for a field out of bounds.
    """
    unsigned = attrs.evolve(update, signatures=())
    return sha256(_TAG + _TAG + genesis + FEDERATION_UPDATE.root(unsigned))


def encode_update(update: FederationUpdate) -> bytes:
    """Encode an update with its signatures. Raises `Malformed` for a field out of bounds."""
    return FEDERATION_UPDATE.encode(update)


def decode_update(data: bytes) -> FederationUpdate:
    """Decode an update. Raises `Malformed` unless `encode_update` made the bytes."""
    if len(data) > MAX_UPDATE_BYTES:
        raise Malformed(f"an update of the federation has at most {MAX_UPDATE_BYTES} bytes, found {len(data)}")
    return FEDERATION_UPDATE.decode(data)


_WAITING = ListOf(FEDERATION_UPDATE, 16)


def encode_updates(updates: Sequence[FederationUpdate]) -> bytes:
    """Encode the updates that wait for a block. Raises `Malformed` for more than 16."""
    return _WAITING.encode(updates)


def decode_updates(data: bytes) -> tuple[FederationUpdate, ...]:
    """Decode the updates that wait for a block. Raises `Malformed` unless `encode_updates` made the bytes."""
    return _WAITING.decode(data)
