"""`alysd audit`: reconcile the peg from Bitcoin and the execution layer, apart from any node."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alysd.cli import complain
from alysd.commands.output import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alysd.audit.reconcile import Report
    from alysd.audit.records import AlysFindings, BitcoinFindings, PegTerms
    from alysd.integrations.json_rpc_client import JsonRpcClient
    from alysd.types.chain_spec import ChainSpec
    from alysd.types.federation_update import FederationUpdate
    from alysd.types.units import Height
    from alysd.validation import Genesis

_MAX_INCLUDED = 40

CALL_SECONDS = 120.0
"""The deadline of a call. A large Bitcoin block takes a node seconds to decode."""

MAX_ANSWER = 128 * 1024 * 1024
"""The maximum size of an answer: the JSON of a Bitcoin block of 4 MB with all transactions decoded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd audit`."""
    parser.add_argument("--chain", type=Path, required=True, metavar="FILE", help="the chain's specification")
    parser.add_argument(
        "--bitcoin", required=True, metavar="URL", help="RPC of a Bitcoin node, with user:password@ or a cookie"
    )
    parser.add_argument("--bitcoin-cookie", type=Path, metavar="FILE", help="the .cookie file of the Bitcoin node")
    parser.add_argument(
        "--ethereum", required=True, metavar="URL", help="Ethereum JSON-RPC of an execution client of the chain"
    )
    parser.add_argument(
        "--block",
        choices=("latest", "safe", "finalized"),
        default="latest",
        help="the Alys block up to which the audit reads (%(default)s)",
    )
    parser.add_argument(
        "--update",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a signed change of the federation that has taken effect; repeat it for all changes",
    )
    parser.add_argument(
        "--included",
        type=_included,
        action="append",
        default=[],
        metavar="CHANGE=HEIGHT",
        help="the height of the block that has a change of the members, by its sequence; needed only if the "
        "credit of a deposit depends on it",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _included(text: str) -> "tuple[int, Height]":
    """Read a value of --included. Raises `ValueError` for another form."""
    from alysd.types.units import Height

    change, _, height = text.partition("=")
    if not (change.isdecimal() and height.isdecimal() and len(text) <= _MAX_INCLUDED):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} must be CHANGE=HEIGHT, such as 1=120000")
    return int(change), Height(int(height))


def run(args: argparse.Namespace) -> int:
    """Audit; return 0 if everything is explained and the two sides are equal, else 1. Raises `UserError`."""
    import json

    import trio

    from alysd.audit.federations import NamedUpdate, checked
    from alysd.audit.report import report_json, report_text
    from alysd.config.chain_spec import load_chain_spec
    from alysd.config.update_file import read_update
    from alysd.validation import genesis_of

    spec = load_chain_spec(args.chain)
    genesis = genesis_of(spec)
    named = [NamedUpdate(str(path), read_update(path)) for path in args.update]
    updates = checked(named, spec, genesis.context.genesis)
    report, bitcoin, alys = trio.run(_audit, args, genesis, updates)
    if args.json:
        say(json.dumps(report_json(report, bitcoin, alys), indent=2) + "\n")
    else:
        say(report_text(report, bitcoin, alys))
    return 0 if report.equal else 1


async def _audit(
    args: argparse.Namespace, genesis: "Genesis", updates: "Sequence[FederationUpdate]"
) -> "tuple[Report, BitcoinFindings, AlysFindings]":
    from alysd.commands.http_url import http_url
    from alysd.commands.mine import bitcoin_access
    from alysd.errors import BitcoinUnavailable, NodeUnavailable
    from alysd.integrations.json_rpc_client import JsonRpcClient

    http_url("--ethereum", args.ethereum)
    url, credentials = bitcoin_access(args.bitcoin, args.bitcoin_cookie, "--bitcoin")
    async with (
        JsonRpcClient("Bitcoin node", url, BitcoinUnavailable, credentials, MAX_ANSWER) as bitcoin,
        JsonRpcClient(
            "execution client", args.ethereum, NodeUnavailable, max_response=MAX_ANSWER, version="2.0"
        ) as ethereum,
    ):
        included: Mapping[int, Height] = dict(args.included)
        return await _read(args.block, genesis, updates, included, _caller(bitcoin), _caller(ethereum))


async def _read(
    tag: str,
    genesis: "Genesis",
    updates: "Sequence[FederationUpdate]",
    included: "Mapping[int, Height]",
    bitcoin: "Callable[..., Any]",
    ethereum: "Callable[..., Any]",
) -> "tuple[Report, BitcoinFindings, AlysFindings]":
    from alysd.audit.alys_side import AlysClock, AlysSide, check_chain
    from alysd.audit.bitcoin_side import BitcoinSide, check_network, federation_script, payout_script
    from alysd.audit.credit import credits_of
    from alysd.audit.federations import check_in_force, federations
    from alysd.audit.reconcile import reconcile_all

    spec = genesis.context.spec
    await check_network(bitcoin, spec.bitcoin_network)
    await check_chain(ethereum, spec.chain_id, genesis.state.payload_hash, genesis.context.genesis)
    holders = await federations(spec, updates, partial(federation_script, bitcoin))
    own: dict[bytes, int] = {}
    for one in holders:
        own.setdefault(one.script, one.since)
    numbers = {script: number for number, script in enumerate(own)}
    clock = AlysClock(ethereum)
    check_in_force(holders, await clock.height(tag))
    found = await credits_of(holders, included, spec.former_address_days, clock.time_of)
    reader = BitcoinSide(
        bitcoin,
        numbers,
        spec.peg_in_minimum,
        spec.bitcoin_start_height,
        credit={numbers[script]: one for script, one in found.items()},
        leaves={one.leaf: numbers[one.script] for one in holders},
    )
    await reader.read_to_tip(_progress("Bitcoin"))
    alys = await AlysSide(ethereum).read(tag, _progress("Alys"))
    reader.deposits_only = True
    await reader.read_to_tip(_progress("Bitcoin"))
    records = reader.records()
    scripts: dict[bytes, bytes | None] = {}
    for burned in alys.burns:
        if burned.address not in scripts:
            scripts[burned.address] = await payout_script(bitcoin, burned.address.decode("latin-1"))
    report, findings = reconcile_all(records, alys, _terms(spec, own), scripts, holders)
    return report, records, findings


def _terms(spec: "ChainSpec", own: "Mapping[bytes, int]") -> "PegTerms":
    from alysd.audit.records import PegTerms

    return PegTerms(
        peg_out_minimum=spec.peg_out_minimum,
        service_fee=spec.peg_out_service_fee,
        max_fee_rate=spec.peg_out_max_fee_rate,
        own=own,
    )


def _caller(client: "JsonRpcClient") -> "Callable[..., Any]":
    async def call(method: str, *params: Any) -> Any:
        return await client.call(method, *params, seconds=CALL_SECONDS)

    return call


def _progress(chain: str) -> "Callable[[int, int], None]":
    """Show the progress on a terminal, every thousand blocks."""

    def show(height: int, last: int) -> None:
        if height % 1_000 == 0 and sys.stderr.isatty():
            complain(f"{chain}: block {height} of {last}")

    return show
