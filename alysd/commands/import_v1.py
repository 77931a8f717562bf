"""`alysd import-v1`: makes a chain's description of a chain file of Alys V1, and key files of V1's keys."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alysd.commands.output import say

if TYPE_CHECKING:
    from alysd.config.key_file import KeyKind
    from alysd.config.v1_chain import V1Chain

NOT_TAKEN_OVER = (
    "blocks, balances and contracts of V1: the chain begins at block 0",
    "bitcoin that V1's federation holds: the new federation has another address, to which V1's members send it",
    "proofs of possession, which V1 does not have: each member makes them with `alysd keys member`",
)
"""The data that no chain file has, for the report."""

_CHAIN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

_NAMES = {"bls": "authority.key", "bitcoin": "bitcoin.key"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd import-v1`."""
    parser.add_argument("chain", type=Path, metavar="CHAIN.json", help="the chain file of V1")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the description to write; it names the chain"
    )
    parser.add_argument(
        "--bitcoin-network", required=True, choices=("mainnet", "testnet", "signet", "regtest"),
        help="the Bitcoin network, which V1 has on its command line",
    )  # fmt: skip
    parser.add_argument("--peg", action="store_true", help="the chain has a two-way peg")
    parser.add_argument(
        "--minimum",
        type=int,
        metavar="SAT",
        help="the smallest deposit and burn (default: what pays its fees)",
    )
    parser.add_argument("--bls", type=Path, metavar="FILE", help="V1's secret authority key, in hex")
    parser.add_argument("--bitcoin", type=Path, metavar="FILE", help="V1's secret Bitcoin key, in hex")
    parser.add_argument("--keys", type=Path, metavar="DIR", help="the folder for the key files of these two keys")
    parser.add_argument(
        "--member",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a member file: check that the files are V1's members, in V1's order; once per member",
    )


def run(args: argparse.Namespace) -> int:
    """Write the description and the key files, and say what is not taken over. Raises `ConfigError`."""
    from alysd.commands.genesis import write_new
    from alysd.config.v1_chain import description, read_v1_chain, usual_minimum
    from alysd.errors import ConfigError
    from alysd.integrations.new_key_file import write_key_file
    from alysd.types.chain_spec import MAX_PEG_MEMBERS
    from alysd.types.units import MAX_SAT

    name, output, keys = str(args.output.stem), Path(args.output), args.keys
    if _CHAIN_NAME.fullmatch(name) is None:
        raise ConfigError(f"--output {output}: the chain gets this name: only small letters, digits and -")
    if args.minimum is not None and not 1 <= args.minimum <= MAX_SAT:
        raise ConfigError(f"--minimum {args.minimum}: must be from 1 to {MAX_SAT} sat")
    if (args.bls is None and args.bitcoin is None) != (keys is None):
        raise ConfigError("--keys DIR, and --bls FILE or --bitcoin FILE, are needed together")
    chain = read_v1_chain(args.chain)
    _check_keys(chain)
    if args.peg and len(chain.members) > MAX_PEG_MEMBERS:
        raise ConfigError(
            f"--peg: {args.chain} has {len(chain.members)} members, and a chain with a peg has at most "
            f"{MAX_PEG_MEMBERS}: remove members from its three lists, or leave out --peg"
        )
    _check_members(chain, args.member)
    owned = [*_owned(chain, "bls", args.bls), *_owned(chain, "bitcoin", args.bitcoin)]
    places = {one.place for one in owned}
    if len(places) > 1:
        raise ConfigError(f"the two keys are of the members {sorted(places)} of {args.chain}, not of the same one")
    files = [] if keys is None else [(Path(keys) / _NAMES[one.kind], one) for one in owned]
    if taken := [path for path in (output, *(path for path, _ in files)) if path.exists()]:
        raise ConfigError(f"{taken[0]}: the file exists, and nothing was written\nname another one")
    for path, one in files:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_key_file(path, one.kind, one.secret, one.public)
    minimum = usual_minimum(len(chain.members)) if args.minimum is None else args.minimum
    write_new(output, description(chain, name, args.bitcoin_network, minimum, peg=args.peg))
    say("".join(f"wrote {path}\n" for path in (output, *(path for path, _ in files))))
    if places:
        say(f"the keys are those of member {places.pop()}, counted from 0\n")
    notes = [*chain.notes, *NOT_TAKEN_OVER]
    say("not taken over, or changed:\n" + "".join(f"  {note}\n" for note in notes))
    return 0


def _check_keys(chain: "V1Chain") -> None:
    """Raise `ConfigError` unless the authority keys can be keys: no member could prove to have another one."""
    from alysd.errors import ConfigError
    from alysd.integrations.bls import is_public_key

    for place, member in enumerate(chain.members):
        if not is_public_key(member.authority):
            raise ConfigError(
                f"{chain.path}: the authority key 0x{member.authority.hex()[:16]}… of member {place} is no "
                "point of BLS12-381, so that nobody has its secret key"
            )


def _check_members(chain: "V1Chain", paths: list[Path]) -> None:
    """Compare the member files with V1's members. Raises `ConfigError` for the first difference."""
    from alysd.config.member_file import read_member
    from alysd.errors import ConfigError

    if paths and len(paths) != len(chain.members):
        raise ConfigError(f"--member: {len(paths)} files, but {chain.path} has {len(chain.members)} members")
    for place, (path, expected) in enumerate(zip(paths, chain.members, strict=False)):
        found = read_member(path).member
        for name, key in (("authority", expected.authority), ("bitcoin_key", expected.bitcoin_key)):
            if getattr(found, name) != key:
                raise ConfigError(
                    f"{path}: {name} is 0x{getattr(found, name).hex()[:16]}…, but member {place} of {chain.path} "
                    f"has 0x{key.hex()[:16]}…: name the files in V1's order"
                )


class SecretOfV1(NamedTuple):
    """A secret key of V1: the number of its member, its kind, and its public key as text."""

    place: int
    kind: "KeyKind"
    secret: bytes
    public: str


def _owned(chain: "V1Chain", kind: "KeyKind", path: Path | None) -> Iterator[SecretOfV1]:
    """The key in V1's file `path`, if one is named. Raises `ConfigError` if it is not one of a member."""
    from alysd.config.key_file import read_key_file
    from alysd.errors import ConfigError, Malformed
    from alysd.integrations.key_kinds import public_text

    if path is None:
        return
    secret = read_key_file(path, kind=kind).secret
    try:
        public = public_text(kind, secret)
    except Malformed as error:
        raise ConfigError(f"{path}: {error}") from None
    for place, member in enumerate(chain.members):
        if public == f"0x{(member.authority if kind == 'bls' else member.bitcoin_key).hex()}":
            yield SecretOfV1(place, kind, secret, public)
            return
    raise ConfigError(f"{path}: its public key {public[:18]}… is not that of a member of {chain.path}")
