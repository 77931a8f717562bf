"""Updates of the federation of a test chain, signed with known governance keys."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import attrs
from btclib_secp256k1 import ssa

from alysd.integrations.possession import x_only_key
from alysd.testing.chain import authority_secret, bitcoin_secret, member_keys
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import FederationMember, FederationUpdate, GovernanceSignature, UpdateKind
from alysd.types.hashes import BlockHash, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.units import Height
from alysd.wire.federation_update import update_message


def governance_secret(index: int) -> bytes:
    """The secret of a test chain's governance key, by its index."""
    return sha256(b"alysd test governance %d" % index).digest()


def governance_keys(count: int) -> tuple[XOnlyKey, ...]:
    """The first `count` governance keys of test chains."""
    return tuple(x_only_key(governance_secret(index)) for index in range(count))


@cache
def federation_member(member: int, chain_id: int) -> FederationMember:
    """The member of test chains with this index, as an update names it."""
    keys = member_keys(authority_secret(member), bitcoin_secret(member), chain_id)
    return FederationMember(keys.authority, keys.authority_proof, keys.bitcoin_key, keys.bitcoin_proof)


def sign_update(update: FederationUpdate, genesis: BlockHash, signers: Sequence[int]) -> FederationUpdate:
    """The update with the signatures of the governance keys with these indices."""
    message = update_message(update, genesis)
    signatures = tuple(
        GovernanceSignature(index, SchnorrSignature(ssa.sign(message, governance_secret(index), bytes(32))))
        for index in signers
    )
    return attrs.evolve(update, signatures=signatures)


def members_update(
    context: ChainContext, sequence: int, height: int, members: Sequence[int], signers: Sequence[int] | None = None
) -> FederationUpdate:
    """A signed update to the test members with these indices; `signers` are by default as many as are needed."""
    chosen = tuple(federation_member(member, context.spec.chain_id) for member in members)
    update = FederationUpdate(sequence, Height(height), "members", chosen, (EvmAddress(b"\xfe" * 20),))
    signing = range(context.spec.governance_threshold) if signers is None else signers
    return sign_update(update, context.genesis, signing)


def halt_update(context: ChainContext, sequence: int, height: int, kind: UpdateKind) -> FederationUpdate:
    """A signed update that halts or resumes the peg."""
    update = FederationUpdate(sequence, Height(height), kind)
    return sign_update(update, context.genesis, range(context.spec.governance_threshold))
