"""Proofs of possession: a member whose key cancels the others' keys approves for all, and is refused."""

import attrs
import pytest
from btclib_secp256k1 import ssa
from py_arkworks_bls12381 import G1Point
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from alysd.errors import ConfigError
from alysd.integrations import bls
from alysd.integrations.possession import bitcoin_key_is_proved, bitcoin_statement, check_possession, x_only_key
from alysd.testing.chain import authority_secret, bitcoin_secret, chain_spec, member_keys
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlsPublicKey, BlsSignature, SchnorrSignature, XOnlyKey, sha256

SPEC = chain_spec(authorities=4)
ATTACKER = (666).to_bytes(32, "big")
MESSAGE = sha256(b"a block that no other member has seen")


def rogue_key(others: tuple[BlsPublicKey, ...]) -> BlsPublicKey:
    """The attacker's key less the sum of the others' keys: with them, it adds up to the attacker's key."""
    point = G1Point.from_compressed_bytes(bls.public_key(ATTACKER))
    for other in others:
        point = point - G1Point.from_compressed_bytes(other)
    return BlsPublicKey(point.to_compressed_bytes())


def joined_last(proof: BlsSignature) -> ChainSpec:
    """The test chain, whose last member has named the rogue key with this proof."""
    others = SPEC.authorities[:3]
    return attrs.evolve(
        SPEC,
        authorities=(*others, rogue_key(others)),
        authority_proofs=(*SPEC.authority_proofs[:3], proof),
    )


def test_the_last_to_name_a_key_could_approve_for_all() -> None:
    """The attack itself: one signature of one member is the aggregate of four, which is a quorum of any block."""
    keys = joined_last(SPEC.authority_proofs[3]).authorities
    assert bls.verify_aggregate(keys, MESSAGE, bls.sign(ATTACKER, MESSAGE))


@pytest.mark.parametrize(
    "proof",
    [
        bls.prove_possession(ATTACKER),
        bls.sign(ATTACKER, rogue_key(SPEC.authorities[:3])),
        SPEC.authority_proofs[0],
        bls.aggregate([bls.prove_possession(ATTACKER), *SPEC.authority_proofs[:3]]),
        BlsSignature(b"\xc0" + bytes(95)),
        BlsSignature(bytes(96)),
    ],
    ids=["of its own key", "an approval", "another's", "a sum", "infinity", "no point"],
)
def test_a_key_that_cancels_the_others_is_refused(proof: BlsSignature) -> None:
    with pytest.raises(ConfigError, match=r"authority_proofs\[3\] of the chain alys-test: does not prove"):
        check_possession(joined_last(proof))


def test_members_with_their_secrets_are_accepted() -> None:
    check_possession(SPEC)
    assert SPEC.authority_proofs[0] != SPEC.authority_proofs[1]


def test_the_proof_is_that_of_the_ietf_draft() -> None:
    """Other implementations of the scheme make and accept the same proof."""
    secret = authority_secret(1)
    proof = G2ProofOfPossession.PopProve(int.from_bytes(secret, "big"))
    assert bls.prove_possession(secret) == proof
    assert G2ProofOfPossession.PopVerify(bls.public_key(secret), proof)  # pyright: ignore[reportArgumentType]


def test_a_signature_is_no_proof_and_a_proof_no_signature() -> None:
    """Separate domains: an approval of a block must never be a proof for a key of which the block is the bytes."""
    secret = authority_secret(0)
    key = bls.public_key(secret)
    assert not bls.possession_is_proved(key, bls.sign(secret, key))
    assert not bls.verify_aggregate([key], key, bls.prove_possession(secret))


@pytest.mark.parametrize("key", [bytes(48), b"\xc0" + bytes(47), b"\x9f" + bytes(47), bytes(3)])
def test_bytes_that_are_no_key_have_no_proof(key: bytes) -> None:
    assert not bls.possession_is_proved(BlsPublicKey(key), SPEC.authority_proofs[0])
    with pytest.raises(ConfigError, match=r"authorities\[0\] of the chain alys-test: .* is not a BLS public key"):
        check_possession(attrs.evolve(SPEC, authorities=(BlsPublicKey(key), *SPEC.authorities[1:])))


def test_a_bitcoin_keys_proof_is_of_one_member_on_one_chain() -> None:
    """A member must not name another's key, nor reuse the proof of another chain."""
    member = member_keys(authority_secret(0), bitcoin_secret(0), 4242)
    key, proof = member.bitcoin_key, member.bitcoin_proof
    assert bitcoin_key_is_proved(key, proof, 4242, member.authority)
    assert not bitcoin_key_is_proved(key, proof, 4243, member.authority)
    assert not bitcoin_key_is_proved(key, proof, 4242, SPEC.authorities[1])
    assert not bitcoin_key_is_proved(x_only_key(bitcoin_secret(1)), proof, 4242, member.authority)
    assert not bitcoin_key_is_proved(XOnlyKey(b"\xff" * 32), proof, 4242, member.authority)
    assert not bitcoin_key_is_proved(key, SchnorrSignature(bytes(5)), 4242, member.authority)
    assert ssa.verify(bitcoin_statement(4242, member.authority), key, proof)


def test_the_statement_is_as_documented() -> None:
    """Another program could not make the proof."""
    tag = sha256(b"alysd/federation key")
    expected = sha256(tag + tag + bytes([0x92, 0x10, 0, 0]) + SPEC.authorities[0])
    assert bitcoin_statement(4242, SPEC.authorities[0]) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        attrs.evolve(SPEC, chain_id=4243),
        attrs.evolve(SPEC, federation_bitcoin_proofs=SPEC.federation_bitcoin_proofs[::-1]),
        attrs.evolve(SPEC, federation_bitcoin_keys=SPEC.federation_bitcoin_keys[::-1]),
    ],
    ids=["another chain", "exchanged proofs", "exchanged keys"],
)
def test_a_bitcoin_key_without_its_members_proof_is_refused(wrong: ChainSpec) -> None:
    with pytest.raises(
        ConfigError, match=r"federation_bitcoin_proofs\[0\] of the chain alys-test: does not prove"
    ):
        check_possession(wrong)
