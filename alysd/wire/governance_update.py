"""Changes of the federation as messages of the governance (docs/governance.md, "Changes of the federation").

Importing this module needs the extra `governance`.
"""

from collections.abc import Mapping

import attrs

from alysd.types.federation import quorum_of
from alysd.types.federation_update import (
    MAX_GOVERNANCE_KEYS,
    MAX_UPDATE_MEMBERS,
    FederationMember,
    FederationUpdate,
    GovernanceSignature,
    UpdateKind,
)
from alysd.types.hashes import BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.units import Height
from alysd.wire.governance_v1 import governance_pb2 as pb
from alysd.wire.governance_values import GovernanceRefused

MEMBER_BYTES = 48 + 96 + 32 + 64
"""The bytes of a member: its BLS key and the proof of it, its Bitcoin key and the proof of that."""

SIGNATURE_BYTES = 2 + 64
"""The bytes of a signature: the index of its governance key, little-endian, and the signature (BIP-340)."""

_MAX_NUMBER = 2**63
_MOST_ADDRESSES = 15
_KINDS: Mapping[int, tuple[UpdateKind, ...]] = {
    pb.UPDATE_TYPE_ADD: ("members",),
    pb.UPDATE_TYPE_REMOVE: ("members",),
    pb.UPDATE_TYPE_CONFIG: ("members", "resume"),
    pb.UPDATE_TYPE_EMERGENCY_HALT: ("halt",),
}
"""The kinds of updates that a type of the governance may have, the usual one first."""


def decode_federation_update(given: pb.FederationUpdate) -> FederationUpdate:
    """Read a change of the federation. Raises `GovernanceRefused` for one that cannot be such a change.

    Whether the change obeys the rules of the chain, and whether its signatures are valid, is not judged here.
    """
    parameters = dict(given.config.parameters)
    allowed = _KINDS.get(given.update_type)
    if allowed is None:
        raise _bad(f"its type is {given.update_type}, which this node does not know")
    kinds: dict[str, UpdateKind] = {each: each for each in allowed}
    kind = kinds.get(parameters.get("kind", allowed[0]))
    if kind is None:
        name = pb.UpdateType.Name(given.update_type)
        raise _bad(f"its kind is {parameters['kind'][:20]!r}, but its type is {name}")
    unknown = parameters.keys() - {"kind", "sequence", "fee_addresses"}
    if unknown:
        raise _bad(f"it has the parameter {min(unknown)[:20]!r}, which this node does not know")
    members = _members(given)
    if given.effective_height >= _MAX_NUMBER:
        raise _bad(f"its effective height is {given.effective_height}")
    return FederationUpdate(
        sequence=_sequence(parameters.get("sequence", "")),
        effective_height=Height(given.effective_height),
        kind=kind,
        members=members,
        fee_addresses=_addresses(parameters.get("fee_addresses", "")),
        signatures=_signatures(given.update_signature),
    )


def encode_federation_update(update: FederationUpdate) -> pb.FederationUpdate:
    """Write a change of the federation, as a governance does."""
    types = {"halt": pb.UPDATE_TYPE_EMERGENCY_HALT}
    parameters = {"sequence": str(update.sequence), "kind": update.kind}
    if update.fee_addresses:
        parameters["fee_addresses"] = ",".join("0x" + address.hex() for address in update.fee_addresses)
    return pb.FederationUpdate(
        update_type=types.get(update.kind, pb.UPDATE_TYPE_CONFIG),
        members=[
            pb.FederationMember(
                member_id=str(index),
                public_key=b"".join(attrs.astuple(member)),
                weight=1,
                active=True,
            )
            for index, member in enumerate(update.members)
        ],
        effective_height=update.effective_height,
        update_signature=b"".join(one.index.to_bytes(2, "little") + one.signature for one in update.signatures),
        config=pb.FederationConfig(
            signature_threshold=quorum_of(len(update.members)),
            member_count=len(update.members),
            parameters=parameters,
        ),
    )


def _bad(reason: str) -> GovernanceRefused:
    return GovernanceRefused("bad federation update", reason)


def _sequence(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise _bad("its parameter sequence must be a number of at most 18 digits")
    return int(text)


def _members(given: pb.FederationUpdate) -> tuple[FederationMember, ...]:
    """The members. Their number and quorum must be those that the update states, if it states any."""
    count, config = len(given.members), given.config
    if count > MAX_UPDATE_MEMBERS:
        raise _bad(f"it has {count} members, at most {MAX_UPDATE_MEMBERS} are allowed")
    if config.member_count not in (0, count) or config.signature_threshold not in (0, quorum_of(count)):
        raise _bad(
            f"it has {count} members, whose quorum is {quorum_of(count)}, but states {config.member_count} "
            f"members and the threshold {config.signature_threshold}"
        )
    return tuple(_member(index, one) for index, one in enumerate(given.members))


def _member(index: int, given: pb.FederationMember) -> FederationMember:
    data = given.public_key
    if len(data) != MEMBER_BYTES or not given.active or given.weight != 1:
        raise _bad(
            f"member {index} must be active, with the weight 1, and {MEMBER_BYTES} bytes of keys and proofs"
        )

    return FederationMember(
        BlsPublicKey(data[:48]), BlsSignature(data[48:144]), XOnlyKey(data[144:176]), SchnorrSignature(data[176:])
    )


def _addresses(text: str) -> tuple[EvmAddress, ...]:
    if not text:
        return ()
    words = text.split(",", _MOST_ADDRESSES)
    if len(words) > _MOST_ADDRESSES:
        raise _bad(f"it has more than {_MOST_ADDRESSES} fee addresses")
    found: list[EvmAddress] = []
    for word in words:
        try:
            data = bytes.fromhex(word.removeprefix("0x"))
        except ValueError:
            data = b""
        if len(data) != 20 or len(word) != 42:
            raise _bad("its parameter fee_addresses must have addresses of 0x and 40 hex digits, with commas")
        found.append(EvmAddress(data))
    return tuple(found)


def _signatures(data: bytes) -> tuple[GovernanceSignature, ...]:
    count, rest = divmod(len(data), SIGNATURE_BYTES)
    if rest or count > MAX_GOVERNANCE_KEYS:
        raise _bad(f"its signatures have {len(data)} bytes, not {SIGNATURE_BYTES} for each of at most "
                   f"{MAX_GOVERNANCE_KEYS}")  # fmt: skip
    parts = [data[start : start + SIGNATURE_BYTES] for start in range(0, len(data), SIGNATURE_BYTES)]
    return tuple(
        GovernanceSignature(int.from_bytes(part[:2], "little"), SchnorrSignature(part[2:])) for part in parts
    )
