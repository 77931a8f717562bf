"""`alysd genesis`: creates a chain specification and its execution genesis from a short description."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.commands.output import say

if TYPE_CHECKING:
    from alysd.config.member_file import MemberFile
    from alysd.types.peers import PeerAddress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd genesis`."""
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FILE",
        help="the short description (TOML), such as conf/chains/short/dev.toml",
    )
    parser.add_argument(
        "--member",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a member's public keys, from `alysd keys member`; once per member, in the order of their slots",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="the folder for the two files of the chain"
    )


def run(args: argparse.Namespace) -> int:
    """Write both files, with the name of the input file, and print the genesis hash. Raises `UserError`.

    Existing files are not overwritten, because the parameters of a running chain must not change.
    """
    from alysd.config.chain_spec import check_genesis, make_spec
    from alysd.config.genesis import chain_toml, execution_genesis, read_short_genesis
    from alysd.config.member_file import read_member
    from alysd.integrations.possession import check_member, check_possession
    from alysd.types.hashes import displayed
    from alysd.validation import genesis_of

    members = [read_member(path) for path in args.member]
    for member in members:
        check_member(member)
    short = read_short_genesis(args.input, members)
    chain_file: Path = args.output / f"{args.input.stem}.toml"
    genesis_file: Path = args.output / f"{args.input.stem}.genesis.json"
    execution = execution_genesis(short)
    spec = make_spec(short.parameters, execution)
    check_genesis(spec, args.input)
    check_possession(spec)
    genesis = genesis_of(spec).context.genesis
    texts = {
        genesis_file: json.dumps(execution, indent=2) + "\n",
        chain_file: chain_toml(short.parameters, genesis_file.name, _peers(members)),
    }
    for path, text in texts.items():
        write_new(path, text)
    say(f"wrote {chain_file} and {genesis_file}\n{_federation_lines(members)}genesis {displayed(genesis)}\n")
    return 0


def _federation_lines(members: "Sequence[MemberFile]") -> str:
    """Say which file became which member, how many must agree, and which peers the chain has."""
    from alysd.types.federation import quorum_of

    if not members:
        return ""
    lines = [
        f"member {index}: authority 0x{file.member.authority.hex()[:16]}…, from {file.path}"
        for index, file in enumerate(members)
    ]
    count, quorum = len(members), quorum_of(len(members))
    lines.append(
        f"quorum {quorum} of {count}: blocks need {quorum} running members; at most {(count - 1) // 3} may lie"
    )
    if peers := _peers(members):
        lines += ["bootnodes, the peers of each node that names none in network.peers:"]
        lines += [f"  {peer}" for peer in peers]
    return "\n".join(lines) + "\n"


def _peers(members: "Sequence[MemberFile]") -> "list[PeerAddress]":
    """The addresses of the members' nodes, without those that are not known yet."""
    return [file.member.peer for file in members if file.member.peer is not None]


def write_new(path: Path, text: str) -> None:
    """Write a new file. Raises `ConfigError` if it exists or cannot be written."""
    from alysd.errors import ConfigError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: the file exists\nname another one") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
