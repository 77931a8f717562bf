"""Proofs that the members of a federation have the secrets of their keys.

The rules are in docs/protocol.md, "Possession of keys". The sum of several BLS keys verifies the sum of their
signatures. In a rogue-key attack, the last member chooses its key so that it knows the secret of the sum of all
keys, and can then approve for all members. However, that member cannot prove possession of the secret of the
chosen key.
"""

from btclib_secp256k1 import ssa
from btclib_secp256k1.keys import pubkey_from_prvkey

from alysd.config.member_file import MemberFile
from alysd.consensus.federation_update import bitcoin_statement
from alysd.errors import ConfigError
from alysd.integrations import bls
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlsPublicKey, SchnorrSignature, XOnlyKey


def x_only_key(secret: bytes) -> XOnlyKey:
    """The Bitcoin key of `secret` (BIP-340). Raises `ValueError` when `secret` is not a secp256k1 secret."""
    return XOnlyKey(pubkey_from_prvkey(secret)[1:])


def prove_bitcoin_key(secret: bytes, chain_id: int, authority: BlsPublicKey) -> SchnorrSignature:
    """Make the proof for the Bitcoin key of `secret`, a valid secp256k1 secret. The proof is deterministic."""
    return SchnorrSignature(ssa.sign(bitcoin_statement(chain_id, authority), secret, bytes(32)))


def bitcoin_key_is_proved(key: XOnlyKey, proof: SchnorrSignature, chain_id: int, authority: BlsPublicKey) -> bool:
    """Whether `proof` is valid for this key of this member. False for bytes that are not a key or a signature."""
    try:
        return ssa.verify(bitcoin_statement(chain_id, authority), key, proof)
    except ValueError:
        return False


def check_possession(spec: ChainSpec) -> None:
    """Check the keys and proofs of all members, in about 4 ms each.

    Raises `ConfigError` for the first invalid one.
    """
    for place, (key, proof) in enumerate(zip(spec.authorities, spec.authority_proofs, strict=True)):
        if not bls.is_public_key(key):
            raise _problem(spec, "authorities", place, f"{key.hex()} is not a BLS public key", "prints one")
        if not bls.possession_is_proved(key, proof):
            what = f"does not prove that a member has the secret of {key.hex()}"
            raise _problem(spec, "authority_proofs", place, what, "prints the proof")
    members = zip(spec.authorities, spec.federation_bitcoin_keys, spec.federation_bitcoin_proofs, strict=True)
    for place, (authority, key, proof) in enumerate(members):
        if not bitcoin_key_is_proved(key, proof, spec.chain_id, authority):
            what = (
                f"does not prove that the member with authority {authority.hex()[:16]}… has the secret of "
                f"{key.hex()} on chain {spec.chain_id}"
            )
            raise _problem(
                spec, "federation_bitcoin_proofs", place, what, "--chain-id --authority prints the proof"
            )


def check_member(file: MemberFile) -> None:
    """Check the keys and proofs of one member file. Raises `ConfigError`, which names the file."""
    member = file.member
    if not bls.is_public_key(member.authority):
        reason = "authority: these 48 bytes are not a BLS public key"
    elif not bls.possession_is_proved(member.authority, member.authority_proof):
        reason = "authority_proof: does not prove that the member has the secret of the authority key"
    elif not bitcoin_key_is_proved(member.bitcoin_key, member.bitcoin_proof, member.chain_id, member.authority):
        reason = f"bitcoin_proof: does not prove that the member has the secret on chain {member.chain_id}"
    else:
        return
    raise ConfigError(f"{file.path}: {reason}; the member makes the file again with `alysd keys member`")


def _problem(spec: ChainSpec, key: str, place: int, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"{key}[{place}] of the chain {spec.name}: {what}; `alysd keys show` {remedy}")
