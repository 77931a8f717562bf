"""`alysd peg`: shows how to send bitcoin to a chain, burns BTC, and follows the operations of the peg."""

import argparse
import re
from pathlib import Path

from alysd.commands.http_url import http_url
from alysd.commands.passphrase import add_passphrase_argument

DEFAULT_URL = "http://127.0.0.1:3000"
ETHEREUM_URL = "http://127.0.0.1:8545"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    deposit = actions.add_parser("in", help="show how to send bitcoin to an account on the chain")
    deposit.add_argument("--to", required=True, metavar="0x…", help="the account that gets the BTC")
    deposit.add_argument("--amount", metavar="BTC", help="the amount, such as 0.01 (default: the smallest one)")
    deposit.add_argument(
        "--url", default=DEFAULT_URL, help=f"the JSON-RPC of a node of the chain (default: {DEFAULT_URL})"
    )
    deposit.add_argument(
        "--chain", type=Path, metavar="FILE", help="the chain's specification: check the node's answer against it"
    )
    deposit.add_argument(
        "--update",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="with --chain: a signed change of the federation; repeat it for all changes",
    )
    deposit.add_argument("--no-qr", dest="qr", action="store_false", help="show no QR code")
    deposit.set_defaults(action=_in)
    _add_out(actions.add_parser("out", help="burn BTC of an account on the chain, to be paid out in bitcoin"))
    listed = actions.add_parser("list", help="list deposits and burns in blocks, the newest first")
    listed.add_argument("--limit", type=int, metavar="N", help="at most this many (1 to 100, default: 20)")
    listed.add_argument("--before", type=int, metavar="NUMBER", help="only operations with lower numbers")
    listed.add_argument("--state", help="only those in this state, such as requested or confirmed")
    listed.add_argument("--account", metavar="0x…", help="only those of this recipient or sender")
    listed.set_defaults(action=_list)
    shown = actions.add_parser("show", help="show one operation")
    shown.set_defaults(action=_show)
    raw = actions.add_parser(
        "transaction", help="print a signed payment in hex, for `bitcoin-cli sendrawtransaction`"
    )
    raw.add_argument(
        "txid", type=_txid, metavar="TXID", help="the txid of a version of a payment, as `alysd peg show` has it"
    )
    raw.set_defaults(action=_transaction)
    watched = actions.add_parser("watch", help="follow one operation to its end")
    watched.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="stop after this time (default: never)"
    )
    watched.set_defaults(action=_watch)
    for action in (shown, watched):
        action.add_argument(
            "id", help="a deposit's Bitcoin txid, a burn's transaction hash (0x…), or an operation's number"
        )
    for action in (listed, shown, raw, watched):
        action.add_argument("--url", default=DEFAULT_URL, help=f"the JSON-RPC of a node (default: {DEFAULT_URL})")


def _add_out(burn: argparse.ArgumentParser) -> None:
    burn.add_argument("--to", required=True, metavar="ADDRESS", help="the Bitcoin address to be paid")
    burn.add_argument("--amount", required=True, metavar="BTC", help="the amount to burn, such as 0.01")
    burn.add_argument("--key", type=Path, required=True, metavar="FILE", help="the key file of the account")
    add_passphrase_argument(burn)
    burn.add_argument(
        "--url", default=DEFAULT_URL, help=f"the JSON-RPC of a node of the chain (default: {DEFAULT_URL})"
    )
    burn.add_argument(
        "--ethereum",
        default=ETHEREUM_URL,
        metavar="URL",
        help=f"the Ethereum JSON-RPC of a node of the chain (default: {ETHEREUM_URL})",
    )
    burn.add_argument("--chain-id", type=int, metavar="N", help="refuse nodes of a chain with another id")
    burn.add_argument(
        "--max-fee", default="0.001", metavar="BTC", help="the most that gas may cost (default: %(default)s)"
    )
    burn.add_argument(
        "--nonce",
        type=_count,
        metavar="N",
        help="the number of the transaction (default: that of the account's next)",
    )
    burn.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
    burn.add_argument("--watch", action="store_true", help="follow the burn to its end, as `alysd peg watch` does")
    burn.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="with --watch, stop after this time (default: never)"
    )
    burn.set_defaults(action=_out)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _txid(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise ValueError
    return text.lower()


_seconds.__name__, _count.__name__, _txid.__name__ = (
    "number of seconds",
    "number",
    "txid",
)  # as argparse names them in errors


def run(args: argparse.Namespace) -> int:
    """Run the action. Raises `UserError`, and `NodeUnavailable` if no node answers."""
    http_url("--url", args.url)
    code: int = args.action(args)
    return code


def _list(args: argparse.Namespace) -> int:
    from alysd.commands.peg_follow import list_operations

    return list_operations(args)


def _show(args: argparse.Namespace) -> int:
    from alysd.commands.peg_follow import show

    return show(args)


def _transaction(args: argparse.Namespace) -> int:
    from alysd.commands.peg_transaction import print_transaction

    return print_transaction(args)


def _watch(args: argparse.Namespace) -> int:
    from alysd.commands.peg_follow import watch

    return watch(args)


def _out(args: argparse.Namespace) -> int:
    from alysd.commands.peg_out import peg_out

    return peg_out(args)


def _in(args: argparse.Namespace) -> int:
    from alysd.commands.peg_in import peg_in

    return peg_in(args)
