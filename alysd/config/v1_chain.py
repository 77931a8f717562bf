"""Reads the chain file of Alys V1 (Rust), and tells which of its values a chain of this version can have.

V1's file is JSON with the names below. Its keys have no proofs of possession, so the file alone is no chain
specification: the members add their proofs (docs/federation.md, "From a chain of V1").
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from alysd.config.toml_file import read_bounded
from alysd.errors import ConfigError, Malformed
from alysd.types.chain_spec import MAX_PEG_MEMBERS, ChainParameters
from alysd.types.hashes import BlsPublicKey, EvmAddress, XOnlyKey
from alysd.wire.evm_address import checksum_address, parse_address
from alysd.wire.hex import from_hex
from alysd.wire.json_input import integer_field, list_field, object_of, parse_json
from alysd.wire.plain_text import plain

MOST_MEMBERS = 1_024
"""The maximum number of members that is read: far more than any chain of V1 had."""

USUAL_CONFIRMATIONS = 4
"""The value of a missing `requiredBtcTxnConfirmations` in V1 (app/src/spec.rs, `DEV`)."""

_BLS_BYTES, _COMPRESSED_BYTES, _MILLISECONDS = 48, 33, 1_000
_FIELD = 2**256 - 2**32 - 977
"""The order of the field of secp256k1."""

_MOST = 2**64
"""V1's integers have at most 64 bits."""

_WITHOUT_EQUIVALENT = {
    "executionTimeoutLength": "deadlines of the execution client follow from the length of a slot",
    "isValidator": "a node is a member if its configuration names an authority key (chain.authority_key_file)",
}
_RETARGETING = {
    "powTargetTimespan": "the target is adjusted at each proof of work (auxpow_max_adjustment_percent)",
    "powTargetSpacing": "auxpow_spacing_slots is the number of slots between proofs",
    "powNoRetargeting": "the target of a chain is always adjusted; bits is the first one",
}
_KNOWN = {
    "slotDuration", "authorities", "federation", "federationBitcoinPubkeys", "bits", "chainId",
    "maxBlocksWithoutPow", "bitcoinStartHeight", "retargetParams", "requiredBtcTxnConfirmations",
}  # fmt: skip


@attrs.frozen
class V1Member:
    """A member of V1's federation: its two public keys, and the account that receives its fees."""

    authority: BlsPublicKey
    bitcoin_key: XOnlyKey
    fee_address: EvmAddress


@attrs.frozen
class V1Chain:
    """A chain file of V1. `parameters` are values of a chain specification; `notes` say what they do not cover."""

    path: Path
    members: tuple[V1Member, ...]
    parameters: dict[str, int]
    notes: tuple[str, ...]


def read_v1_chain(path: Path) -> V1Chain:
    """Read a chain file of V1. Raises `ConfigError` with the field that is wrong."""
    data = read_bounded(path, what="the chain file of V1")
    try:
        document = parse_json(data, _DECODER)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    try:
        return _chain(path, object_of(document, "the file"))
    except Malformed as error:
        raise ConfigError(f"{path}: not a chain file of V1: {error}") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON. Raises `ValueError` if it has a key twice, of which parsers take different ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if [one for one, _ in pairs].count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} is in one object twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _chain(path: Path, fields: dict[str, Any]) -> V1Chain:
    retargeting = object_of(fields.get("retargetParams"), "retargetParams")
    notes: list[str] = []
    parameters = {
        "chain_id": _bounded("chainId", "chain_id", fields, notes),
        "bits": _bounded("bits", "bits", fields, notes),
        "pow_limit": _bounded("powLimit", "pow_limit", retargeting, notes),
        "slot_seconds": _slot_seconds(fields),
        "bitcoin_start_height": _bounded("bitcoinStartHeight", "bitcoin_start_height", fields, notes),
        "peg_in_confirmations": USUAL_CONFIRMATIONS,
        "max_blocks_without_auxpow": _bounded(
            "maxBlocksWithoutPow", "max_blocks_without_auxpow", fields, notes, capped=True
        ),
    }
    if "requiredBtcTxnConfirmations" in fields:
        parameters["peg_in_confirmations"] = _bounded(
            "requiredBtcTxnConfirmations", "peg_in_confirmations", fields, notes
        )
    else:
        notes.append(f"requiredBtcTxnConfirmations is missing, and V1 then uses {USUAL_CONFIRMATIONS}")
    notes += _unused(fields, _WITHOUT_EQUIVALENT, _KNOWN)
    notes += _unused(retargeting, _RETARGETING, {"powLimit"}, "retargetParams.")
    return V1Chain(path, _members(fields), parameters, tuple(notes))


def _bounded(key: str, name: str, fields: dict[str, Any], notes: list[str], *, capped: bool = False) -> int:
    """The integer at `key`, for the parameter `name`. With `capped`, its maximum replaces a larger one."""
    value = integer_field(fields, key, 0, _MOST)
    least, most = attrs.fields_dict(ChainParameters)[name].metadata["between"]
    if capped and value > most:
        notes.append(f"{key} is {value}; {name} is {most}, the largest value that it can have")
        return most
    return integer_field(fields, key, least, most + 1)


def _slot_seconds(fields: dict[str, Any]) -> int:
    milliseconds = integer_field(fields, "slotDuration", 1, _MOST)
    seconds, rest = divmod(milliseconds, _MILLISECONDS)
    if rest or not 1 <= seconds <= 60:
        raise Malformed(f"slotDuration: {milliseconds} ms; a slot has 1 to 60 whole seconds")
    return seconds


def _members(fields: dict[str, Any]) -> tuple[V1Member, ...]:
    names = ("authorities", "federationBitcoinPubkeys", "federation")
    lists = [list_field(fields, name, MOST_MEMBERS) for name in names]
    counts = [len(one) for one in lists]
    if len(set(counts)) != 1 or not counts[0]:
        found = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
        raise Malformed(f"each member needs an item in each of three lists, found {found}")
    members = tuple(_member(place, items) for place, items in enumerate(zip(*lists, strict=True)))
    for name in ("authority", "bitcoin_key", "fee_address"):
        places: dict[bytes, int] = {}
        for place, member in enumerate(members):
            if (first := places.setdefault(getattr(member, name), place)) != place:
                raise Malformed(f"the members {first} and {place} have the same {name}")
    return members


def _member(place: int, items: Sequence[object]) -> V1Member:
    authority, bitcoin, account = (one if isinstance(one, str) else "" for one in items)
    try:
        compressed = from_hex(bitcoin, _COMPRESSED_BYTES)
        if compressed[0] not in (2, 3):
            raise Malformed("a compressed public key begins with 02 or 03")
        if not _is_on_curve(compressed[1:]):
            raise Malformed(f"{bitcoin[:80]} is no point of secp256k1, so that nobody has its secret key")
        key = BlsPublicKey(from_hex(authority, _BLS_BYTES))
        return V1Member(key, XOnlyKey(compressed[1:]), parse_address(account))
    except (ValueError, Malformed) as error:
        raise Malformed(f"member {place} of the three lists: {error}") from None


def _is_on_curve(key: bytes) -> bool:
    """Whether an x-only key is the coordinate of a point of secp256k1 (BIP-340, `lift_x`)."""
    x = int.from_bytes(key, "big")
    return x < _FIELD and pow(x**3 + 7, (_FIELD - 1) // 2, _FIELD) == 1


def usual_minimum(members: int) -> int:
    """The smallest amount, in sat, that pays for its payment at the usual fee limit, in whole 10,000 sat."""
    from alysd.peg.weights import least_minimum  # its libraries take long to import

    rate: Any = attrs.fields_dict(ChainParameters)["peg_out_max_fee_rate"].default
    return -(-least_minimum(min(members, MAX_PEG_MEMBERS), rate) // 10_000) * 10_000


def description(chain: V1Chain, name: str, network: str, minimum: int, *, peg: bool) -> str:
    """The text of a chain's description, which `alysd genesis` reads with the members' files."""
    lines = [
        f"# Made from {plain(chain.path.name)}, a chain file of Alys V1. The members, in V1's order:",
        *(f"#   0x{one.authority.hex()}" for one in chain.members),
        f'name = "{name}"',
        *(
            f"{key} = {value:#010x}" if key in ("bits", "pow_limit") else f"{key} = {value}"
            for key, value in chain.parameters.items()
        ),
        f'bitcoin_network = "{network}"',
        "# V1 has no minimums; agree on these two.",
        f"peg_in_minimum = {minimum}",
        f"peg_out_minimum = {minimum}",
        *(["peg = true"] if peg else []),
        "federation_fee_addresses = [",
        *(f'  "{checksum_address(one.fee_address)}",' for one in chain.members),
        "]",
    ]
    return "\n".join(lines) + "\n"


def _unused(fields: dict[str, Any], reasons: dict[str, str], used: set[str], prefix: str = "") -> list[str]:
    notes = [f"{prefix}{name} has no equivalent: {reason}" for name, reason in reasons.items() if name in fields]
    others = sorted(fields.keys() - reasons.keys() - used)
    return notes + [f"{prefix}{name[:60]!r} is no field of V1 that is known, and is left out" for name in others]
