"""Two changes of the federation of a chain with a peg, while users deposit and ask for their bitcoin back.

    python -m benchmarks.peg.changes [--clients] [--seed 1] [--folder DIR]

Five daemons: 1 to 4 are the first members, 5 follows. The first change replaces member 4 by 5. The second takes
4 in again, so that a quorum is four of five instead of three of four. Users pay to all addresses so far. At the
end, the former addresses must hold nothing, and `alysd audit` must say that nothing is open and no satoshi is
missing.
With --clients, member 2 uses geth and member 3 EthereumJS.
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio
from eth_account import Account

from alysd.commands.federation_files import FEE_ADDRESS, FIRST_CHAIN_ID, known_secret, open_federation
from alysd.integrations.key_kinds import public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.testing import components
from alysd.testing.components import Bitcoind
from benchmarks.federation.__main__ import client_settings
from benchmarks.federation.chains import chain_of, conflicts
from benchmarks.federation.folders import add_folder, run_in_folder
from benchmarks.federation.members import Federation, federation
from benchmarks.federation.watch import Watch, level
from benchmarks.peg.ending import END_SECONDS, has_ended, until_ended, url_of
from benchmarks.peg.troubles import BitcoinMiner, fund_wallet
from benchmarks.peg.users import RESERVE_WORD, Users

NODES = 5
CHAIN_ID = FIRST_CHAIN_ID + NODES
FIRST = (1, 2, 3, 4)
CHANGES = ((1, 2, 3, 5), (1, 2, 3, 5, 4))
GOVERNANCE = (101, 102, 103)
"""The numbers of the keys that sign changes. Two of them are needed."""

NOTICE = 110
"""The blocks from the head to the height of a change: ten more than the least."""

START_SECONDS = 240.0
CHANGE_SECONDS = 600.0
"""The longest wait for a change: it takes four minutes without missed slots."""

AFTER_SECONDS = 30.0
USERS = 6
RESERVE = 10_000_000


@attrs.frozen
class Era:
    """The members from a height on, in the order of their slots, and their deposit address."""

    height: int
    members: Sequence[int]
    address: str


def write_files(folder: Path, bitcoin: str) -> None:
    """Make the files of five members, and a chain of the first four with governance keys."""
    open_federation(folder, NODES, bitcoin)
    path = folder / "chain/chain.toml"
    text = path.read_text()
    for name in ("authorities", "authority_proofs", "federation_bitcoin_keys", "federation_bitcoin_proofs"):
        found = re.search(rf"^{name} = \[\n((?:.*\n)*?)\]", text, re.MULTILINE)
        assert found is not None
        text = text.replace(found[1], "".join(found[1].splitlines(keepends=True)[: len(FIRST)]))
    keys = [public_text("bitcoin", known_secret("bitcoin", one)) for one in GOVERNANCE]
    text = re.sub(r"^governance_keys = .*$", f"governance_keys = {json.dumps(keys)}", text, flags=re.MULTILINE)
    path.write_text(re.sub(r"^governance_threshold = .*$", "governance_threshold = 2", text, flags=re.MULTILINE))
    for one, key in zip(GOVERNANCE, keys, strict=True):
        write_key_file(folder / f"governance-{one}.key", "bitcoin", known_secret("bitcoin", one), key)


@attrs.define
class Changes:
    """The changes so far, made and sent with the commands that operators use."""

    running: Federation
    eras: list[Era]
    files: list[Path] = attrs.field(factory=list[Path])

    async def change(self, members: Sequence[int]) -> None:
        """Change to these members, and wait until the hand-over has ended on every node."""
        folder, sequence = self.running.folder, len(self.eras)
        file = folder / f"change-{sequence}.json"
        height = (await self.running.members[1].call("getheadblock"))["height"] + NOTICE
        options = ["--sequence", str(sequence), "--height", str(height), "--fee-address", FEE_ADDRESS]
        for one in members:
            options += ["--member", str(await self._member_file(one))]
        await _alysd("federation", "update", "new", *options, "--out", str(file))
        for one in GOVERNANCE[:2]:
            keys = ("--chain", str(folder / "chain/chain.toml"), "--key", str(folder / f"governance-{one}.key"))
            await _alysd("federation", "update", "sign", str(file), *keys)
        submitter = self.running.members[self.eras[-1].members[0]]
        await _alysd("federation", "update", "submit", str(file), "--config", str(submitter.files.config))
        with trio.fail_after(CHANGE_SECONDS):
            while not all([await self._settled(one, sequence) for one in self.running.members]):  # noqa: ASYNC110
                await trio.sleep(2)
        address = (await submitter.call("getdepositaddress"))["address"]
        self.eras.append(Era(height, members, address))
        self.files.append(file)
        print(f"from height {height} on: members {list(members)}, deposits to {address}", flush=True)

    def members_at(self, height: int) -> Sequence[int]:
        """The members of the federation that makes the block at this height."""
        return next(era.members for era in reversed(self.eras) if height >= era.height)

    async def _settled(self, member: int, sequence: int) -> bool:
        found: dict[str, Any] = await self.running.members[member].call("getfederation")
        return found["sequence"] == sequence and found["handover"] is None

    async def _member_file(self, number: int) -> Path:
        home = self.running.folder / f"member-{number}"
        file = home / "member.toml"
        if not file.exists():
            keys = ("--bls", str(home / "bls.key"), "--bitcoin", str(home / "bitcoin.key"))
            await _alysd("keys", "member", "--chain-id", str(CHAIN_ID), *keys, "--out", str(file))
        return file


async def measure(options: argparse.Namespace, folder: Path) -> bool:
    """Run it, and print what the audit says; returns whether all is well."""
    chance = random.Random(options.seed)  # noqa: S311  a seed that can be repeated
    async with AsyncExitStack() as stack:
        bitcoin = await stack.enter_async_context(components.bitcoind(folder))
        await fund_wallet(bitcoin)
        write_files(folder / "federation", url_of(bitcoin))
        settings = await client_settings(folder, stack) if options.clients else {}
        running = await stack.enter_async_context(federation(folder / "federation", NODES, 0, 0, settings))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=30.0, trust_env=False))
        watch = Watch(running)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            if not await watch.until(lambda newest: level(newest, range(1, NODES + 1), 4), START_SECONDS):
                raise TimeoutError(f"no common blocks after {START_SECONDS:.0f} s: see the logs in {folder}")
            good = await _use(running, bitcoin, client, chance)
            chains = [await chain_of(member) for member in running.members.values()]
            problems = conflicts(chains, watch.samples)
            nursery.cancel_scope.cancel()
        for problem in problems:
            print(f"conflict: {problem}")
        return good and not problems


async def _use(running: Federation, bitcoin: Bitcoind, client: httpx.AsyncClient, chance: random.Random) -> bool:
    address: str = (await running.members[1].call("getdepositaddress"))["address"]
    accounts = [Account.from_key(chance.randbytes(32)) for _ in range(USERS)]
    users = Users(running, bitcoin, client, address, CHAIN_ID, chance, accounts)
    changes = Changes(running, [Era(0, FIRST, address)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(BitcoinMiner(bitcoin, chance, 3.0, reorganise=False).run)
        await users.deposit(RESERVE_WORD, RESERVE)
        first: int = (await running.members[1].call("getheadblock"))["height"]
        nursery.start_soon(_pay_to_all, users, changes)
        async with trio.open_nursery() as work:
            work.start_soon(users.deposit_many, sys.maxsize, 6.0)
            work.start_soon(users.request_many, sys.maxsize, 10.0)
            for members in CHANGES:
                await trio.sleep(AFTER_SECONDS)
                await changes.change(members)
            await trio.sleep(AFTER_SECONDS)
            users.stopped = True
        print(f"{len(users.deposits)} deposits and {len(users.requests)} requests", flush=True)
        missed = await _missed(changes, first)
        report = await until_ended(bitcoin, running, users, changes.files)
        left = await _until_moved(bitcoin, [era.address for era in changes.eras[:-1]])
        report = await until_ended(bitcoin, running, users, changes.files)
        nursery.cancel_scope.cancel()
    print(json.dumps(report, indent=2))
    print("sent by users: {} sat in deposits, {} sat in requests".format(*users.sums))
    print(f"slots missed, by author: {missed or 'none'}; left at former addresses: {left} BTC")
    return has_ended(report, users) and left == 0


async def _pay_to_all(users: Users, changes: Changes) -> None:
    """Let deposits go to one of all addresses so far: a user may have kept an old one."""
    while True:
        users.address = users.chance.choice(changes.eras).address
        await trio.sleep(1)


async def _missed(changes: Changes, first: int) -> dict[int, int]:
    """The slots without a block from the height `first` on, counted by the member whose slot it was."""
    chain = await chain_of(changes.running.members[1])
    found: dict[int, int] = {}
    for height, slot in _gaps(chain.slots, first):
        members = changes.members_at(height)
        author = members[slot % len(members)]
        found[author] = found.get(author, 0) + 1
    return found


def _gaps(slots: Sequence[int], first: int) -> Iterator[tuple[int, int]]:
    """The slots between two blocks, each with the height of the later block."""
    for height in range(first + 1, len(slots)):
        for slot in range(slots[height - 1] + 1, slots[height]):
            yield height, slot


async def _until_moved(bitcoin: Bitcoind, addresses: Sequence[str]) -> float:
    """Wait until the former addresses hold nothing; returns what they hold at the end, in BTC."""
    left = 0.0
    with trio.move_on_after(END_SECONDS):
        while left := await _held(bitcoin, addresses):  # noqa: ASYNC110  a Bitcoin node has no event to wait for
            await trio.sleep(5)
    return left


async def _held(bitcoin: Bitcoind, addresses: Sequence[str]) -> float:
    found = await bitcoin.call("scantxoutset", "start", [f"addr({one})" for one in addresses])
    return found["total_amount"]


async def _alysd(*arguments: str) -> None:
    """Run a command of `alysd`. Raises `CalledProcessError`."""
    await trio.run_process([sys.executable, "-m", "alysd", *arguments], capture_stdout=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; the exit status is 1 if a satoshi is missing or an operation did not end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", action="store_true", help="geth for member 2, EthereumJS for member 3")
    parser.add_argument("--seed", type=int, default=1, help="seed of amounts and times (1)")
    add_folder(parser)
    options = parser.parse_args(arguments)
    return run_in_folder(measure, options)


if __name__ == "__main__":
    sys.exit(main())
