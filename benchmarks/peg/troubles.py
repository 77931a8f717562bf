"""The faults of a run: members are killed, and Bitcoin replaces its newest blocks."""

import random
import time

import attrs
import trio

from alysd.testing.components import Bitcoind
from benchmarks.federation.members import Federation
from benchmarks.peg.users import WALLET

NOBODY = f"raw(0014{bytes(20).hex()})"
"""The descriptor of a script for which there is no key."""


async def fund_wallet(bitcoin: Bitcoind) -> None:
    """Make the users' wallet, with 60 coins.

    They mature before the first reorganisation, which would make them immature again.
    """
    await bitcoin.call("createwallet", WALLET)
    await bitcoin.call("generatetoaddress", 60, await bitcoin.call("getnewaddress", wallet=WALLET))
    await bitcoin.call("generatetodescriptor", 105, NOBODY)


@attrs.define
class BitcoinMiner:
    """Mines a Bitcoin block every few seconds, and sometimes replaces the newest ones by others.

    `mined` has the Unix time at which each height was reached for the first time.
    """

    bitcoin: Bitcoind
    chance: random.Random
    seconds: float
    reorganise: bool = True
    reorganised: int = attrs.field(init=False, default=0)
    mined: dict[int, float] = attrs.field(init=False, factory=dict[int, float])

    async def run(self) -> None:
        """Mine until cancelled."""
        while True:
            await trio.sleep(self.chance.expovariate(1 / self.seconds))
            if self.reorganise and self.chance.random() < 0.1:
                await self._replace(self.chance.randint(1, 3))
            else:
                await self._mine(1)

    async def _replace(self, depth: int) -> None:
        """Replace the newest `depth` blocks by one block more."""
        height: int = await self.bitcoin.call("getblockcount")
        oldest: str = await self.bitcoin.call("getblockhash", height - depth + 1)
        await self.bitcoin.call("invalidateblock", oldest)
        await self._mine(depth + 1)
        self.reorganised += 1

    async def _mine(self, count: int) -> None:
        # Not to the wallet: a reorganisation makes a coin that has just matured immature again, and Bitcoin drops
        # the deposits that spend it. A script of its own lets a block differ from the one that it replaces.
        nobody = f"raw(0014{self.chance.randbytes(20).hex()})"
        await self.bitcoin.call("generatetodescriptor", count, nobody)
        height: int = await self.bitcoin.call("getblockcount")
        for one in range(height - count + 1, height + 1):
            self.mined.setdefault(one, time.time())


@attrs.define
class Killer:
    """Kills one member after the other with SIGKILL, and starts it again after some seconds."""

    federation: Federation
    chance: random.Random
    seconds: float
    killed: int = attrs.field(init=False, default=0)

    async def run(self) -> None:
        """Kill until cancelled; a member that was killed is started again in any case."""
        while True:
            await trio.sleep(self.chance.expovariate(1 / self.seconds))
            member = self.chance.choice(list(self.federation.members.values()))
            member.kill()
            self.killed += 1
            try:
                await trio.sleep(self.chance.uniform(2, 20))
            finally:
                member.start()
