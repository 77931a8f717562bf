"""`alysd keys`: makes key files and the first records of what a key has signed, and shows public keys."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.commands.configuration import add_configuration_arguments, load_configuration
from alysd.commands.output import confirm, say
from alysd.commands.passphrase import add_passphrase_argument, passphrase_of

if TYPE_CHECKING:
    from alysd.config.key_file import KeyKind


_KINDS = ("bls", "bitcoin", "network", "account")

_ENCRYPTED = ("bitcoin", "account")
"""The kinds whose secret can have a passphrase."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_new(actions.add_parser("new", help="make a key file that only its owner can read (mode 0600)"))
    _add_show(actions.add_parser("show", help="show a key's kind, public half and proof of possession"))
    _add_member(
        actions.add_parser("member", help="make the file with the public keys and proofs of a federation's member")
    )
    _add_guard(
        actions.add_parser(
            "guard", help="make the first signing guard of a federation's member, whose key no node has ever used"
        )
    )
    _add_record(
        actions.add_parser("record", help="make an empty record of the payments that a Bitcoin key has signed")
    )


def _add_new(new: argparse.ArgumentParser) -> None:
    new.add_argument(
        "kind",
        choices=_KINDS,
        help="bls: signs an authority's approvals; bitcoin: signs as a federation member for the locked BTC; "
        "network: identifies a node to its peers; account: signs transactions on the chain",
    )
    new.add_argument("--out", type=Path, metavar="FILE", help="the file to make (KIND.key)")
    new.add_argument(
        "--passphrase",
        action="store_true",
        help="encrypt a bitcoin or account key with a passphrase; the node reads that of a bitcoin key from "
        "peg.passphrase_file",
    )
    add_passphrase_argument(new)
    new.set_defaults(action=_new)


def _add_show(show: argparse.ArgumentParser) -> None:
    show.add_argument("file", type=Path, metavar="FILE")
    show.add_argument("--kind", choices=_KINDS, help="the kind of key, for a file that does not name it")
    show.add_argument(
        "--authority",
        metavar="HEX",
        help="of a bitcoin key: the member's BLS public key; with --chain-id, show the proof",
    )
    show.add_argument("--chain-id", type=int, metavar="NUMBER", help="of a bitcoin key: the chain of the proof")
    show.add_argument("--secret", action="store_true", help="show the secret too")
    add_passphrase_argument(show)
    show.set_defaults(action=_show)


def _add_member(member: argparse.ArgumentParser) -> None:
    member.add_argument("--chain-id", type=int, required=True, metavar="NUMBER", help="the id of the new chain")
    for kind, required in (("bls", True), ("bitcoin", True), ("network", False)):
        text = f"the member's {kind} key file" + ("" if required else "; needs --address")
        member.add_argument(f"--{kind}", type=Path, required=required, metavar="FILE", help=text)
    member.add_argument(
        "--address",
        metavar="MULTIADDRESS",
        help="where peers reach the node, such as /dns/node.example.org/tcp/9333",
    )
    member.add_argument(
        "--fee-address", metavar="0x…", help="the EVM address for a share of the federation's fees"
    )
    member.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to make")
    add_passphrase_argument(member)
    member.set_defaults(action=_member)


def _add_guard(guard: argparse.ArgumentParser) -> None:
    add_configuration_arguments(guard)
    guard.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
    guard.set_defaults(action=_guard)


def _add_record(record: argparse.ArgumentParser) -> None:
    record.add_argument("--bitcoin", type=Path, required=True, metavar="FILE", help="the Bitcoin key file")
    record.add_argument("--out", type=Path, required=True, metavar="FILE", help="the record to make")
    record.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
    add_passphrase_argument(record)
    record.set_defaults(action=_record)


def run(args: argparse.Namespace) -> int:
    """Run the action. Raises `UserError`."""
    code: int = args.action(args)
    return code


def _new(args: argparse.Namespace) -> int:
    from alysd.errors import ConfigError
    from alysd.integrations.key_kinds import new_secret, public_text
    from alysd.integrations.new_key_file import write_key_file

    encrypted = args.passphrase or args.passphrase_file is not None
    if encrypted and args.kind not in _ENCRYPTED:
        raise ConfigError(f"a {args.kind} key cannot be encrypted: the node reads it without a person")
    path: Path = args.out or Path(f"{args.kind}.key")
    secret = new_secret(args.kind)
    public = public_text(args.kind, secret)
    passphrase = passphrase_of(args.passphrase_file, twice=True) if encrypted else None
    write_key_file(path, args.kind, secret, public, passphrase)
    say(f"wrote {path}: anyone who can read it can sign as you; keep a backup that only you can read\n{public}\n")
    return 0


def _show(args: argparse.Namespace) -> int:
    from alysd.config.key_file import exposed, read_key_file
    from alysd.errors import ConfigError, Malformed
    from alysd.integrations.key_kinds import public_text

    ask = partial(passphrase_of, args.passphrase_file)
    key = read_key_file(args.file, kind=args.kind, known_to_all=True, passphrase=ask)
    kind = key.kind or args.kind
    if kind is None:
        raise ConfigError(
            f"{args.file}: the file does not name the kind of key\nadd --kind bls, bitcoin, network or account"
        )
    try:
        public = public_text(kind, key.secret)
    except Malformed as error:
        raise ConfigError(f"{args.file}: not a {kind} key: {error}") from None
    proof = _proof(kind, key.secret, args)
    say(f"{kind} key\npublic {public}\n" + (f"proof {proof}\n" if proof else ""))
    if args.secret:
        say(f"secret {key.secret.hex()}\n")
    if exposed(args.file.stat()):
        sys.stderr.write(
            f"alysd: {args.file} is accessible to other users; if it is secret: chmod 600 {args.file}\n"
        )
    return 0


def _check_chain_id(chain_id: int) -> None:
    """Raise `ConfigError` for a chain id that no chain specification may have."""
    from alysd.errors import ConfigError
    from alysd.types.chain_spec import BIP9_VERSIONS, MAX_CHAIN_ID

    if not 1 <= chain_id <= MAX_CHAIN_ID or chain_id in BIP9_VERSIONS:
        raise ConfigError(f"--chain-id {chain_id}: must be 1 to {MAX_CHAIN_ID}, but not 8192 to 16383")


def _proof(kind: str, secret: bytes, args: argparse.Namespace) -> str | None:
    """Return the proof of possession of a key, for a chain specification.

    Returns None for a network key, which needs no proof, and for a Bitcoin key if `args` have neither an authority
    nor a chain id. Raises `ConfigError` if only one of the two is given, or if one is invalid.
    """
    from alysd.config.values import hex_bytes
    from alysd.errors import ConfigError
    from alysd.integrations.bls import is_public_key, prove_possession
    from alysd.integrations.possession import prove_bitcoin_key
    from alysd.types.hashes import BlsPublicKey

    if kind == "bls":
        return "0x" + prove_possession(secret).hex()
    if kind != "bitcoin" or (args.authority is None and args.chain_id is None):
        return None
    if args.authority is None or args.chain_id is None:
        raise ConfigError("the proof of a bitcoin key needs both --authority and --chain-id")
    _check_chain_id(args.chain_id)
    try:
        authority = BlsPublicKey(hex_bytes(args.authority, 48, "a BLS public key"))
    except ValueError as error:
        raise ConfigError(f"--authority: {error}") from None
    if not is_public_key(authority):
        raise ConfigError("--authority: these 48 bytes are not a BLS public key; `alysd keys show` prints one")
    return "0x" + prove_bitcoin_key(secret, args.chain_id, authority).hex()


def _member(args: argparse.Namespace) -> int:
    """Write a member file. Raises `ConfigError`; an existing file is not overwritten."""
    from alysd.commands.genesis import write_new
    from alysd.config.member_file import member_toml
    from alysd.errors import ConfigError

    _check_chain_id(args.chain_id)
    if (args.network is None) != (args.address is None):
        raise ConfigError(
            "--network and --address belong together: the key gives the id of the node at the address"
        )
    write_new(args.out, member_toml(_member_values(args), args.chain_id))
    say(f"wrote {args.out}: it has no secret; give it to the founders of the chain\n")
    return 0


def _member_values(args: argparse.Namespace) -> dict[str, str]:
    """The values of a member file as text, except the chain's id. Raises `ConfigError` for a wrong option."""
    from alysd.errors import ConfigError
    from alysd.integrations.bls import prove_possession
    from alysd.integrations.possession import prove_bitcoin_key
    from alysd.types.hashes import BlsPublicKey
    from alysd.wire.evm_address import checksum_address, parse_address
    from alysd.wire.multiaddress import parse_peer_address

    ask = partial(passphrase_of, args.passphrase_file)
    (authority, key), (bitcoin, bitcoin_key) = _key(args.bls, "bls"), _key(args.bitcoin, "bitcoin", ask)
    proof = prove_bitcoin_key(bitcoin, args.chain_id, BlsPublicKey(bytes.fromhex(key[2:])))
    values = {
        "authority": key,
        "authority_proof": "0x" + prove_possession(authority).hex(),
        "bitcoin_key": bitcoin_key,
        "bitcoin_proof": "0x" + proof.hex(),
    }
    option = "--fee-address"
    try:
        if args.fee_address is not None:
            values["fee_address"] = checksum_address(parse_address(args.fee_address))
        if args.network is not None:
            option = "--address"
            peer = f"{args.address.rstrip('/')}/p2p/{_key(args.network, 'network')[1]}"
            values["peer"] = str(parse_peer_address(peer))
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
    return values


def _key(path: Path, kind: "KeyKind", passphrase: Callable[[], str] | None = None) -> tuple[bytes, str]:
    """The secret in a key file, and its public half as text. Raises `ConfigError`."""
    from alysd.config.key_file import read_key_file
    from alysd.errors import ConfigError, Malformed
    from alysd.integrations.key_kinds import public_text

    secret = read_key_file(path, kind=kind, passphrase=passphrase).secret
    try:
        return secret, public_text(kind, secret)
    except Malformed as error:
        raise ConfigError(f"{path}: not a {kind} key: {error}") from None


def _guard(args: argparse.Namespace) -> int:
    """Write the first signing guard into the node's data folder. Raises `UserError` without a confirmation."""
    from alysd.integrations.data_folder import DataFolder
    from alysd.validation import data_of

    valid = load_configuration(args)
    folder, chain = valid.config.storage.path, valid.genesis.context.spec.name
    data = data_of(valid)
    with DataFolder.open(folder):
        data.check_unused()
        say(
            f"The guard in {folder} will allow the key to approve blocks of every slot.\n"
            "If a node has ever run with this key, the key could then approve two blocks of one slot, and every\n"
            "other node keeps the evidence. In that case, copy that node's data folder, or use `alysd recover`.\n"
            f"To confirm that no node has ever run with this key, type the chain's name ({chain}): \n"
        )
        confirm(chain, yes=args.yes)
        data.write_first_guard()
    say("done; `alysd run` starts the node\n")
    return 0


def _record(args: argparse.Namespace) -> int:
    """Write an empty payment record. Raises `UserError` without a confirmation, and if the file exists."""
    from alysd.integrations.payment_record import PaymentRecord
    from alysd.integrations.possession import x_only_key

    secret, _ = _key(args.bitcoin, "bitcoin", partial(passphrase_of, args.passphrase_file))
    key = x_only_key(secret)
    begin = key.hex()[:8]
    say(
        f"With an empty record, the key {key.hex()} can sign every payment once more.\n"
        "This is safe if the key has never signed a payment, or if Bitcoin has confirmed all payments that it\n"
        "has signed. Otherwise restore the newest copy of the record.\n"
        f"To confirm this, type the first 8 digits of the key ({begin}): \n"
    )
    confirm(begin, yes=args.yes, what="these digits")
    PaymentRecord.create(args.out, key)
    say(f"wrote {args.out}\n")
    return 0
