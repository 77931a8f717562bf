"""A wallet on a real Bitcoin node on regtest, which pays what a test wants, as unusual as it may be."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from alysd.testing.components import Bitcoind, bitcoind
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_block import push
from alysd.wire.bitcoin_transaction import make_transaction

OutputTo = tuple[int, bytes]
"""An amount in sat, and an output script."""

FEE = 20_000


def data(content: bytes) -> OutputTo:
    """An OP_RETURN output."""
    return 0, b"\x6a" + push(content)


@attrs.frozen
class Wallet:
    """A Bitcoin node whose wallet has many coins of 50 BTC."""

    bitcoin: Bitcoind

    async def mine(self, count: int = 1) -> None:
        """Mine blocks with everything in the mempool."""
        await self.bitcoin.call("generatetoaddress", count, await self.bitcoin.call("getnewaddress"))

    async def mine_only(self, transactions: Sequence[str] = (), count: int = 1) -> None:
        """Mine blocks; the first has these transactions in hex and no others, and need not be standard."""
        address = await self.bitcoin.call("getnewaddress")
        for place in range(count):
            await self.bitcoin.call("generateblock", address, list(transactions) if place == 0 else [])

    async def transaction(self, *outputs: OutputTo) -> str:
        """Make and sign a transaction with these outputs, and change. Returns it in hex."""
        coin = (await self.bitcoin.call("listunspent"))[0]
        await self.bitcoin.call("lockunspent", False, [{"txid": coin["txid"], "vout": coin["vout"]}])
        spent = OutPoint(BitcoinHash(bytes.fromhex(coin["txid"])[::-1]), coin["vout"])
        change = round(coin["amount"] * 10**8) - sum(sat for sat, _ in outputs) - FEE
        scripts = [*outputs, (change, bytes.fromhex(coin["scriptPubKey"]))]
        made = make_transaction(
            2,
            [TransactionInput(spent, b"", 0xFFFFFFFD)],
            [TransactionOutput(Sat(sat), script) for sat, script in scripts],
            0,
        )
        return (await self.bitcoin.call("signrawtransactionwithwallet", made.raw.hex()))["hex"]

    async def send(self, *outputs: OutputTo) -> str:
        """Send a transaction with these outputs, and return its txid."""
        return await self.bitcoin.call("sendrawtransaction", await self.transaction(*outputs))


@asynccontextmanager
async def wallet(folder: Path, coins: int = 20) -> AsyncGenerator[Wallet]:
    """A Bitcoin node with its data in `folder`, whose wallet has `coins` coins."""
    async with bitcoind(folder) as bitcoin:
        await bitcoin.call("createwallet", "user")
        made = Wallet(bitcoin)
        await made.mine(100 + coins)
        yield made
