"""Member files: the public keys of a federation's member, with the proofs that it has their secrets.

`alysd keys member` makes one, and `alysd genesis --member` combines those of all members (docs/federation.md).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from alysd.config.problems import InvalidConfig, Setting, Source
from alysd.config.structure import structure_fields, unknown_key
from alysd.config.toml_file import read_settings
from alysd.types.bounds import between
from alysd.types.chain_spec import MAX_CHAIN_ID
from alysd.types.hashes import BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature, XOnlyKey
from alysd.types.peers import PeerAddress

LISTS = {
    "authority": "authorities",
    "authority_proof": "authority_proofs",
    "bitcoin_key": "federation_bitcoin_keys",
    "bitcoin_proof": "federation_bitcoin_proofs",
    "fee_address": "federation_fee_addresses",
}
"""For each key of a member file that becomes an item of a list in the chain specification, the key of the list."""


@attrs.frozen
class Member:
    """The content of a member file. `bitcoin_proof` is valid on the chain `chain_id` only.

    `fee_address` receives a share of the federation's fees. `peer` is the address of the member's node.
    """

    chain_id: int = attrs.field(metadata=between(1, MAX_CHAIN_ID))
    authority: BlsPublicKey
    authority_proof: BlsSignature
    bitcoin_key: XOnlyKey
    bitcoin_proof: SchnorrSignature
    fee_address: EvmAddress | None = None
    peer: PeerAddress | None = None


@attrs.frozen
class MemberFile:
    """A member file: its path, its content, and the settings as they are written in the file."""

    path: Path
    member: Member
    settings: Mapping[str, Setting]


def read_member(path: Path) -> MemberFile:
    """Read a member file. Raises `InvalidConfig` with all problems. Does not check the proofs."""
    settings = read_settings(path, what="a member file")
    known = [field.name for field in attrs.fields(Member)]
    problems = [unknown_key(setting, key, known) for key, setting in settings.items() if key not in known]
    values = structure_fields(Member, settings, prefix="", source=Source(str(path)), problems=problems)
    if problems:
        raise InvalidConfig(problems)
    return MemberFile(path, Member(**values), settings)


def member_toml(values: Mapping[str, str], chain_id: int) -> str:
    """The text of a member file. `values` has its keys, except `chain_id`, as text."""
    lines = ["# The public keys of a federation's member. `alysd genesis --member` reads this file.", ""]
    lines += [f"chain_id = {chain_id}", *(f'{key} = "{value}"' for key, value in values.items())]
    return "\n".join(lines) + "\n"


def federation_settings(files: Sequence[MemberFile], chain_id: object) -> dict[str, Setting]:
    """The lists of the chain specification: one item per member, in the order of the files.

    Raises `InvalidConfig` if a file is for another chain than `chain_id`, or has a key of another file.
    """
    problems: list[str] = []
    taken: dict[object, Path] = {}
    for file in files:
        if file.member.chain_id != chain_id:
            problems.append(f"{file.path}: its proofs are for chain {file.member.chain_id}, not for {chain_id}")
        for key, value in _of_one_member(file.member).items():
            if value in taken:
                problems.append(f"{file.path}: its {key} is also that of {taken[value]}")
            taken[value] = file.path
    if problems:
        raise InvalidConfig(problems)
    lists: dict[str, list[object]] = {name: [] for name in LISTS.values()}
    for file in files:
        for key, name in LISTS.items():
            if key in file.settings:
                lists[name].append(file.settings[key].value)
    source = Source("the member files")
    return {name: Setting(values, source) for name, values in lists.items() if values}


def _of_one_member(member: Member) -> dict[str, object]:
    """The values that no two members may share, by their keys. A peer is its id, at whatever address."""
    values = {
        "authority": member.authority,
        "bitcoin_key": member.bitcoin_key,
        "fee_address": member.fee_address,
        "peer": member.peer and member.peer.peer,
    }
    return {key: value for key, value in values.items() if value is not None}
