"""Deposits and requests at random amounts and times, while members are killed and Bitcoin reorganises.

    python -m benchmarks.peg [--deposits 200] [--requests 100] [--clients] [--seed 1] [--folder DIR]

At the end nobody is killed any more. Then `alysd audit` must say that nothing is open and no satoshi is missing.
With --clients, member 2 uses geth and member 3 EthereumJS.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import trio
from eth_account import Account

from alysd.commands.federation_files import FIRST_CHAIN_ID, PEG_IN_CONFIRMATIONS, open_federation
from alysd.testing import components
from alysd.testing.components import Bitcoind
from benchmarks.federation.__main__ import client_settings
from benchmarks.federation.feeder import rpc_of
from benchmarks.federation.folders import add_folder, run_in_folder
from benchmarks.federation.members import federation
from benchmarks.federation.watch import Watch, level
from benchmarks.peg.ending import has_ended, until_ended, url_of
from benchmarks.peg.report import latencies
from benchmarks.peg.troubles import BitcoinMiner, Killer, fund_wallet
from benchmarks.peg.users import RESERVE_WORD, Users

MEMBERS = 4
START_SECONDS = 240.0
USERS = 8


async def measure(options: argparse.Namespace, folder: Path) -> bool:
    """Run it, and print what the audit says; returns whether it says that all is well."""
    chance = random.Random(options.seed)  # noqa: S311  a seed that can be repeated
    async with AsyncExitStack() as stack:
        bitcoin = await stack.enter_async_context(components.bitcoind(folder))
        await fund_wallet(bitcoin)
        open_federation(folder / "federation", MEMBERS, url_of(bitcoin))
        settings = await client_settings(folder, stack) if options.clients else {}
        running = await stack.enter_async_context(federation(folder / "federation", MEMBERS, 0, 0, settings))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=30.0, trust_env=False))
        watch = Watch(running)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            if not await watch.until(lambda newest: level(newest, range(1, MEMBERS + 1), 4), START_SECONDS):
                raise TimeoutError(f"no common blocks after {START_SECONDS:.0f} s: see the logs in {folder}")
            good = await _use(options, watch, bitcoin, client, chance)
            nursery.cancel_scope.cancel()
        return good


async def _use(
    options: argparse.Namespace,
    watch: Watch,
    bitcoin: Bitcoind,
    client: httpx.AsyncClient,
    chance: random.Random,
) -> bool:
    running = watch.federation
    address: str = (await running.members[1].call("getdepositaddress"))["address"]
    accounts = [Account.from_key(chance.randbytes(32)) for _ in range(USERS)]
    users = Users(running, bitcoin, client, address, FIRST_CHAIN_ID + MEMBERS, chance, accounts)
    miner, killer = (
        BitcoinMiner(bitcoin, chance, options.block_seconds),
        Killer(running, chance, options.kill_seconds),
    )
    begun = time.time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(miner.run)
        nursery.start_soon(users.resend_dropped)
        await users.deposit(RESERVE_WORD, 10_000_000) if options.reserve else None
        async with trio.open_nursery() as troubles:
            if options.kill_seconds:
                troubles.start_soon(killer.run)
            async with trio.open_nursery() as work:
                work.start_soon(users.deposit_many, options.deposits, options.deposit_seconds)
                work.start_soon(users.request_many, options.requests, options.deposit_seconds)
            troubles.cancel_scope.cancel()
        miner.reorganise = False
        minutes = (time.time() - begun) / 60
        print(
            f"{len(users.deposits)} deposits and {len(users.requests)} requests in {minutes:.1f} minutes; "
            f"{killer.killed} times a member was killed, {miner.reorganised} times Bitcoin was reorganised",
            flush=True,
        )
        report = await until_ended(bitcoin, running, users)
        nursery.cancel_scope.cancel()
    print(json.dumps(report, indent=2))
    print(await latencies(users, miner, watch, client, rpc_of(running.members[1]), PEG_IN_CONFIRMATIONS))
    print("sent by users: {} sat in deposits, {} sat in requests".format(*users.sums))
    return has_ended(report, users)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; the exit status is 1 if a satoshi is missing or an operation did not end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--deposits", type=int, default=200, help="the number of deposits (200)")
    parser.add_argument("--requests", type=int, default=100, help="the number of requests (100)")
    parser.add_argument("--deposit-seconds", type=float, default=2.0, help="average time between two (2)")
    parser.add_argument("--block-seconds", type=float, default=3.0, help="average time of a Bitcoin block (3)")
    parser.add_argument(
        "--kill-seconds", type=float, default=30.0, help="average time between two kills; 0: none (30)"
    )
    parser.add_argument("--no-reserve", dest="reserve", action="store_false", help="no deposit to the reserve")
    parser.add_argument("--clients", action="store_true", help="geth for member 2, EthereumJS for member 3")
    parser.add_argument("--seed", type=int, default=1, help="seed of amounts and times (1)")
    add_folder(parser)
    options = parser.parse_args(arguments)
    return run_in_folder(measure, options)


if __name__ == "__main__":
    sys.exit(main())
