"""`alysd mine`: merge-mine Bitcoin and Alys from a Bitcoin node's template, for regtest and test networks."""

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.commands.http_url import http_url

if TYPE_CHECKING:
    from alysd.integrations.json_rpc_client import Credentials
    from alysd.types.hashes import EvmAddress

MAX_DIGITS = 9
"""The maximum number of digits of the number of blocks. Bitcoin's chain will never have so many blocks."""

STOPPED_BY_USER = 130
"""The exit code after Ctrl-C, SIGTERM or SIGHUP: 128 + SIGINT, as in shells."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd mine`."""
    parser.add_argument(
        "--bitcoin-url",
        default="http://127.0.0.1:18443",
        metavar="URL",
        help="RPC of the Bitcoin node, with user:password@ or a cookie; /wallet/NAME picks a wallet (%(default)s)",
    )
    parser.add_argument(
        "--bitcoin-cookie",
        type=Path,
        metavar="FILE",
        help="the .cookie file of the Bitcoin node, instead of a password",
    )
    parser.add_argument(
        "--bitcoin-address",
        metavar="ADDRESS",
        help="the address for the Bitcoin reward (default: a new address of the wallet)",
    )
    parser.add_argument(
        "--node-url", default="http://127.0.0.1:3000", metavar="URL", help="RPC of the Alys node (%(default)s)"
    )
    parser.add_argument(
        "--address",
        metavar="EVM",
        help="the address for the Alys fees (default: mining.fee_recipient of the node)",
    )
    parser.add_argument(
        "--place",
        choices=("scriptsig", "opreturn", "raw"),
        default="scriptsig",
        help="where the coinbase commits to Alys (%(default)s)",
    )
    parser.add_argument("--blocks", type=_positive, metavar="N", help="stop after N Bitcoin blocks")


def run(args: argparse.Namespace) -> int:
    """Mine; return 0 after the planned number of blocks, 130 after a signal. Raises `UserError`."""
    import trio

    from alysd.api.console_log import console_log
    from alysd.config.operation_sections import LoggingConfig

    with console_log(LoggingConfig(), sys.stdout):
        return trio.run(_mine, args)


async def _mine(args: argparse.Namespace) -> int:
    import trio

    from alysd.integrations.alys_node import AlysNodeRpc
    from alysd.integrations.bitcoin import BitcoinRpc
    from alysd.messages.log.base import log
    from alysd.types.bitcoin import CommitmentPlace
    from alysd.workflows.pool_miner import MiningPlan, PoolMiner, wait_for_script

    recipient = None if args.address is None else _evm_address(args.address)
    url, credentials = bitcoin_access(args.bitcoin_url, args.bitcoin_cookie)
    node_url = str(http_url("--node-url", args.node_url))
    exit_code = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with (
            BitcoinRpc(url, credentials) as bitcoin,
            AlysNodeRpc(node_url) as alys,
            trio.open_nursery() as nursery,
        ):

            async def stop_on_signal() -> None:
                nonlocal exit_code
                async for _ in signals:
                    exit_code = STOPPED_BY_USER
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_on_signal)
            script = await wait_for_script(bitcoin, args.bitcoin_address, log)
            plan = MiningPlan(script, recipient, CommitmentPlace(args.place), args.blocks)
            await PoolMiner(bitcoin, alys, plan, log).run()
            nursery.cancel_scope.cancel()
    return exit_code


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of blocks: use a whole number from 1")
    return int(text)


def _evm_address(text: str) -> "EvmAddress":
    from alysd.errors import UserError
    from alysd.wire.evm_address import parse_address

    try:
        return parse_address(text)
    except ValueError as error:
        raise UserError(f"--address {text}: {error}") from error


def bitcoin_access(url: str, cookie: Path | None, option: str = "--bitcoin-url") -> "tuple[str, Credentials]":
    """Return the URL without user and password, and the credentials from the cookie file or from the URL.

    Raises `UserError`, which names the `option`, if `url` is not a valid URL.
    """
    from alysd.integrations.bitcoin import access

    return access(str(http_url(option, url)), cookie)
