"""`alysd peg`: shows how to send bitcoin to a chain, and follows the operations of the peg."""

import argparse
from typing import Any, cast

from alysd.commands.output import say

DEFAULT_URL = "http://127.0.0.1:3000"
CALL_SECONDS = 10.0
"""Deadline of the call. The node answers from one read, but may first have to restart an actor."""

SAT_PER_BTC = 10**8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action `in` with its options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    deposit = actions.add_parser("in", help="show how to send bitcoin to an account on the chain")
    deposit.add_argument("--to", required=True, metavar="0x…", help="the account that gets the BTC")
    deposit.add_argument("--amount", metavar="BTC", help="the amount, such as 0.01 (default: the smallest one)")
    deposit.add_argument(
        "--url", default=DEFAULT_URL, help=f"the JSON-RPC of a node of the chain (default: {DEFAULT_URL})"
    )
    deposit.add_argument("--no-qr", dest="qr", action="store_false", help="show no QR code")
    deposit.set_defaults(action=_in)
    listed = actions.add_parser("list", help="list deposits and burns in blocks, the newest first")
    listed.add_argument("--limit", type=int, metavar="N", help="at most this many (1 to 100, default: 20)")
    listed.add_argument("--before", type=int, metavar="NUMBER", help="only operations with lower numbers")
    listed.add_argument("--state", help="only those in this state, such as requested or confirmed")
    listed.add_argument("--account", metavar="0x…", help="only those of this recipient or sender")
    listed.set_defaults(action=_list)
    shown = actions.add_parser("show", help="show one operation")
    shown.set_defaults(action=_show)
    watched = actions.add_parser("watch", help="follow one operation to its end")
    watched.add_argument("--timeout", type=float, metavar="SECONDS", help="stop after this time (default: never)")
    watched.set_defaults(action=_watch)
    for action in (shown, watched):
        action.add_argument(
            "id", help="a deposit's Bitcoin txid, a burn's transaction hash (0x…), or an operation's number"
        )
    for action in (listed, shown, watched):
        action.add_argument("--url", default=DEFAULT_URL, help=f"the JSON-RPC of a node (default: {DEFAULT_URL})")


def run(args: argparse.Namespace) -> int:
    """Run the action. Raises `UserError`, and `NodeUnavailable` if no node answers."""
    code: int = args.action(args)
    return code


def _list(args: argparse.Namespace) -> int:
    from alysd.commands.peg_follow import list_operations

    return list_operations(args)


def _show(args: argparse.Namespace) -> int:
    from alysd.commands.peg_follow import show

    return show(args)


def _watch(args: argparse.Namespace) -> int:
    from alysd.commands.peg_follow import watch

    return watch(args)


def _in(args: argparse.Namespace) -> int:
    import trio

    from alysd.errors import ConfigError, NodeUnavailable
    from alysd.wire.evm_address import parse_address

    try:
        recipient = parse_address(args.to)
    except ValueError as error:
        raise ConfigError(f"--to {args.to}: {error}") from None
    answer = trio.run(_ask, args.url, f"0x{recipient.hex()}")
    address, network = (_word(answer.get(key)) for key in ("address", "network"))
    minimum, confirmations = answer.get("minimum"), answer.get("confirmations")
    if not (address and network and isinstance(minimum, int) and isinstance(confirmations, int)):
        raise NodeUnavailable(args.url, "the answer to getdepositaddress is not that of an Alys node")
    sat = minimum if args.amount is None else _sat(args.amount)
    if sat < minimum:
        raise ConfigError(f"--amount {args.amount}: a deposit must have at least {_btc(minimum)} BTC")
    data = recipient.hex()
    uri = f"bitcoin:{address}?amount={_btc(sat)}&req-op_return_raw={data}"
    say(
        f"Send one Bitcoin transaction on {network} with both outputs:\n\n"
        f"  {_btc(sat)} BTC to  {address}\n"
        f"  OP_RETURN with   {data}\n\n"
        "Without the OP_RETURN output nothing is credited. With the wallet of Bitcoin Core:\n\n"
        f'  bitcoin-cli send \'[{{"{address}": {_btc(sat)}}}, {{"data": "{data}"}}]\'\n\n'
        f"The account {args.to} gets the BTC after {confirmations} confirmations and one more.\n"
    )
    if args.qr:
        say(f"\n{_qr_code(uri)}\n{uri}\n")
    return 0


async def _ask(url: str, recipient: str) -> dict[str, Any]:
    """Call `getdepositaddress`. Raises `NodeUnavailable`, and `ComponentError` on a chain without a peg."""
    from contextlib import aclosing

    from alysd.errors import NodeUnavailable
    from alysd.integrations.json_rpc_client import JsonRpcClient

    async with aclosing(JsonRpcClient("Alys node", url, NodeUnavailable)) as client:
        answer: object = await client.call("getdepositaddress", recipient, seconds=CALL_SECONDS)
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}


def _word(value: object) -> str | None:
    """The value if it is a word of ASCII letters and digits. Nothing else may reach a terminal or a shell."""
    return value if isinstance(value, str) and value.isascii() and value.isalnum() else None


def _sat(amount: str) -> int:
    """The amount in sat. Raises `ConfigError` for text that is no amount of bitcoin."""
    from decimal import Decimal, InvalidOperation

    from alysd.errors import ConfigError
    from alysd.types.units import MAX_SAT

    try:
        sat = Decimal(amount) * SAT_PER_BTC
    except InvalidOperation:
        sat = Decimal(-1)
    if not sat.is_finite() or sat != sat.to_integral_value() or not 0 < sat <= MAX_SAT:
        raise ConfigError(f"--amount {amount}: must be an amount of bitcoin with at most 8 decimals, such as 0.01")
    return int(sat)


def _btc(sat: int) -> str:
    """An amount in BTC with 8 decimals, as Bitcoin Core writes it."""
    return f"{sat // SAT_PER_BTC}.{sat % SAT_PER_BTC:08d}"


def _qr_code(uri: str) -> str:
    """A QR code of the URI for a terminal.

    Wallets that do not know the OP_RETURN parameter must refuse the URI, because its name begins with `req-`
    (BIP-21). A code of the address alone would make them send bitcoin that is not credited.
    """
    import io

    import segno

    text = io.StringIO()
    segno.make(uri, error="l", micro=False).terminal(text, border=2, compact=True)
    return text.getvalue()
