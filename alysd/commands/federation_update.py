"""`alysd federation update`: makes, signs, combines and submits a change of a chain's federation."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alysd.commands.http_url import DEFAULT_URL, http_url
from alysd.commands.output import say
from alysd.commands.passphrase import add_passphrase_argument, passphrase_of
from alysd.commands.running_node import add_node_arguments, socket_of

if TYPE_CHECKING:
    from alysd.types.federation_update import FederationUpdate


def add_update_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action `update` of `alysd federation`, with its own actions."""
    groups = parser.add_subparsers(dest="action", metavar="[update …]")
    words = "change the federation of a chain with governance keys"
    update = groups.add_parser("update", help=words, description=f"{words[0].upper()}{words[1:]}.")
    actions = update.add_subparsers(dest="update_action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make the file of a change, without signatures")
    new.add_argument("--sequence", type=int, required=True, help="as `alysd federation update status` shows it")
    new.add_argument("--height", type=int, required=True, help="the height at which the change takes effect")
    new.add_argument(
        "--member",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="the file of a member of the new federation, in their order; repeat it",
    )
    new.add_argument("--fee-address", action="append", default=[], metavar="0x…", help="instead of the members'")
    kinds = new.add_mutually_exclusive_group()
    kinds.add_argument("--halt", action="store_true", help="halt the peg, instead of naming members")
    kinds.add_argument("--resume", action="store_true", help="resume the peg after such a halt")
    new.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to make")
    status = actions.add_parser("status", help="show the changes that wait, and the sequences of the next ones")
    status.add_argument("--url", default=DEFAULT_URL, help="the JSON-RPC of a node (default: %(default)s)")
    sign = actions.add_parser("sign", help="add the signature of a governance key to the file of a change")
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("--chain", type=Path, required=True, metavar="FILE", help="the chain specification")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the governance key (a Bitcoin key)")
    add_passphrase_argument(sign)
    combine = actions.add_parser(
        "combine", help="put the signatures of several files of one change into the first"
    )
    combine.add_argument("file", type=Path, metavar="FILE")
    combine.add_argument("others", type=Path, nargs="+", metavar="OTHER")
    submit = actions.add_parser("submit", help="give a signed change to the running node, which includes it")
    submit.add_argument("file", type=Path, metavar="FILE")
    add_node_arguments(submit)


def run_update(args: argparse.Namespace) -> int:
    """Run the action. Raises `UserError`."""
    actions = {"status": _status, "new": _new, "sign": _sign, "combine": _combine, "submit": _submit}
    actions[args.update_action](args)
    return 0


def _status(args: argparse.Namespace) -> None:
    from alysd.commands.federation_changes import change_lines
    from alysd.commands.peg_node import ask_once

    http_url("--url", args.url)
    say("".join(f"{line}\n" for line in change_lines(ask_once(args.url, "getfederation"))))


def _new(args: argparse.Namespace) -> None:
    from alysd.config.member_file import read_member
    from alysd.errors import ConfigError
    from alysd.integrations.possession import check_member
    from alysd.types.federation_update import FederationMember, FederationUpdate
    from alysd.types.hashes import EvmAddress
    from alysd.types.units import Height
    from alysd.wire.evm_address import parse_address

    if args.sequence < 1 or args.height < 1:
        raise ConfigError(f"--sequence {args.sequence} and --height {args.height} must be at least 1")
    if args.halt or args.resume:
        if args.member or args.fee_address:
            raise ConfigError("a change that halts or resumes the peg names no --member and no --fee-address")
        kind = "halt" if args.halt else "resume"
        _made(args.out, FederationUpdate(args.sequence, Height(args.height), kind, (), ()))
        return
    if not args.member:
        raise ConfigError("name the file of each member with --member, or give --halt or --resume")
    files = [read_member(path) for path in args.member]
    for one in files:
        check_member(one)
    members = tuple(
        FederationMember(one.authority, one.authority_proof, one.bitcoin_key, one.bitcoin_proof)
        for one in (file.member for file in files)
    )
    try:
        addresses: tuple[EvmAddress, ...] = tuple(parse_address(one) for one in args.fee_address)
    except ValueError as error:
        raise ConfigError(f"--fee-address: {error}") from None
    fees = addresses or tuple(file.member.fee_address for file in files if file.member.fee_address is not None)
    if not fees:
        raise ConfigError("there is no fee address: give a --fee-address, or a member file that has one")
    _made(args.out, FederationUpdate(args.sequence, Height(args.height), "members", members, fees))


def _made(path: Path, update: "FederationUpdate") -> None:
    _write(path, update)
    say(f"wrote {path}, which the holders of the governance keys sign with `alysd federation update sign`:\n")
    say(_described(update))


def _described(update: "FederationUpdate") -> str:
    """The update as the holder of a key has to check it, in lines."""
    from alysd.wire.evm_address import checksum_address

    start = f"from height {update.effective_height} on"
    if update.kind != "members":
        return f"change {update.sequence} of the peg: {update.kind} it {start}\n"
    members = [
        f"  member       0x{one.authority.hex()}\n  bitcoin key  {one.bitcoin_key.hex()}" for one in update.members
    ]
    addresses = [f"  fee address  {checksum_address(one)}" for one in update.fee_addresses]
    return "\n".join([f"change {update.sequence} of the members, {start}:", *members, *addresses, ""])


def _sign(args: argparse.Namespace) -> None:
    import attrs
    from btclib_secp256k1 import ssa

    from alysd.config.chain_spec import load_chain_spec
    from alysd.config.key_file import read_key_file
    from alysd.config.update_file import read_update
    from alysd.errors import ConfigError
    from alysd.integrations.possession import x_only_key
    from alysd.peg.federation import deposit_address
    from alysd.types.chain_spec import has_peg
    from alysd.types.federation_update import GovernanceSignature
    from alysd.types.hashes import SchnorrSignature
    from alysd.validation import genesis_of
    from alysd.wire.federation_update import update_message

    update, spec = read_update(args.file), load_chain_spec(args.chain)
    # Shown before the passphrase is asked for, so that a holder who sees something wrong can stop here.
    say(_described(update))
    if update.kind == "members" and has_peg(spec.execution_genesis):
        keys = [member.bitcoin_key for member in update.members]
        say(f"  deposits to  {deposit_address(keys, spec.bitcoin_network)}\n")
    ask = partial(passphrase_of, args.passphrase_file)
    secret = read_key_file(args.key, kind="bitcoin", passphrase=ask).secret
    key = x_only_key(secret)
    if key not in spec.governance_keys:
        raise ConfigError(
            f"{args.key}: its public key {key.hex()[:16]}… is none of the {len(spec.governance_keys)} "
            f"governance_keys of {args.chain}: name another key file"
        )
    message = update_message(update, genesis_of(spec).context.genesis)
    index = spec.governance_keys.index(key)
    own = GovernanceSignature(index, SchnorrSignature(ssa.sign(message, secret, bytes(32))))
    others = [one for one in update.signatures if one.index != index]
    signatures = tuple(sorted((*others, own), key=lambda one: one.index))
    _write(args.file, attrs.evolve(update, signatures=signatures))
    say(f"{_signatures(len(signatures))}, and the chain needs {spec.governance_threshold}\n")


def _combine(args: argparse.Namespace) -> None:
    import attrs

    from alysd.config.update_file import read_update
    from alysd.errors import ConfigError

    update = read_update(args.file)
    found = {one.index: one for one in update.signatures}
    for path in args.others:
        other = read_update(path)
        if attrs.evolve(other, signatures=()) != attrs.evolve(update, signatures=()):
            raise ConfigError(f"{path}: another change than that of {args.file}: nothing was written")
        found |= {one.index: one for one in other.signatures}
    signatures = tuple(found[index] for index in sorted(found))
    _write(args.file, attrs.evolve(update, signatures=signatures))
    say(f"{_signatures(len(signatures))}\n")


def _submit(args: argparse.Namespace) -> None:
    from alysd.api.control import SUBMIT_UPDATE
    from alysd.commands.actors import ask
    from alysd.config.update_file import read_update
    from alysd.errors import UserError
    from alysd.wire.federation_update import encode_update

    update = read_update(args.file)
    request = {"command": SUBMIT_UPDATE, "update": encode_update(update).hex()}
    answer: dict[str, Any] = ask(socket_of(args), request)
    if "error" in answer:
        raise UserError(str(answer.get("message")))
    words = "the node has it, and includes it in the next block that it makes"
    known = "the node had it already (`alysd federation update status` shows whether a block has it)"
    say(f"{words if answer['new'] else known}; it takes effect at height {update.effective_height}\n")


def _signatures(count: int) -> str:
    return f"{count} signature{'' if count == 1 else 's'}"


def _write(path: Path, update: "FederationUpdate") -> None:
    from alysd.config.update_file import update_text
    from alysd.errors import UserError

    try:
        path.write_text(update_text(update))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
