"""The Bitcoin watch on a real Bitcoin node: deposits, reorganisations, and a node that dies."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from alysd.actors import bitcoin_mempool
from alysd.actors.bitcoin_scan import Watched
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.errors import HANDLING, BitcoinUnavailable, NotBroadcast, NotNow
from alysd.integrations.bitcoin import cookie_credentials, password_credentials
from alysd.integrations.bitcoin_node import BitcoinCore
from alysd.integrations.bitcoin_nodes import BitcoinNodes
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    Broadcast,
    GetBitcoinStatus,
    GetDeposits,
    GetFeeRate,
    GetLost,
    GetUnconfirmed,
    GetUncredited,
    WatchFederations,
)
from alysd.nurseries import Address, OneForOne, actor, open_system, supervisor
from alysd.peg.federation import deposit_address
from alysd.peg.signing import spending_of
from alysd.testing.components import RPC_PASSWORD, RPC_USER, Bitcoind, bitcoind
from alysd.types.bitcoin_watch import Expected
from alysd.types.hashes import EvmAddress, displayed
from alysd.types.peg import PegIn
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import decode_transaction

pytestmark = pytest.mark.component

KEYS = (bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),)
ADDRESS = deposit_address(KEYS, "regtest")
WATCHED = Watched.of((spending_of(KEYS),), minimum=Sat(1_000), network="regtest")
RECIPIENT = EvmAddress(bytes(range(1, 21)))
SECONDS = 60.0
REFUSALS = tuple(error for error, how in HANDLING.items() if how.refusal)


def client(bitcoin: Bitcoind) -> BitcoinCore:
    return BitcoinCore(bitcoin.rpc_url, "regtest", password_credentials(RPC_USER, RPC_PASSWORD))


@asynccontextmanager
async def watching(folder: Path, nodes: Sequence[BitcoinCore]) -> AsyncGenerator[Address[BitcoinWatch]]:
    records = LmdbBitcoinRecords.open(folder / "bitcoin", "test")
    watch: Address[BitcoinWatch] = Address("bitcoin watch", capacity=64)
    made = actor(watch, lambda: BitcoinWatchActor(BitcoinNodes(nodes), records, WATCHED, 0, 1))
    try:
        async with open_system(supervisor("BridgeSupervisor", OneForOne(), [made]), refusals=REFUSALS):
            await watch.ask(WatchFederations(()))  # as the bridge does; the reading begins with it
            yield watch
    finally:
        records.close()
        for node in nodes:
            await node.aclose()


@attrs.frozen
class Wallet:
    """A Bitcoin node with a wallet and coins."""

    bitcoin: Bitcoind

    async def mine(self, count: int = 1) -> None:
        await self.bitcoin.call("generatetoaddress", count, await self.bitcoin.call("getnewaddress"))

    async def deposit(self, btc: str = "0.001", data: str = RECIPIENT.hex()) -> str:
        """Send a deposit as a wallet does, and return its txid."""
        outputs = [{ADDRESS: btc}, {"data": data}]
        funded = await self.bitcoin.call("walletcreatefundedpsbt", [], outputs)
        signed = await self.bitcoin.call("walletprocesspsbt", funded["psbt"])
        final = await self.bitcoin.call("finalizepsbt", signed["psbt"])
        return await self.bitcoin.call("sendrawtransaction", final["hex"])


@asynccontextmanager
async def funded(folder: Path) -> AsyncGenerator[Wallet]:
    async with bitcoind(folder) as bitcoin:
        await bitcoin.call("createwallet", "user")
        wallet = Wallet(bitcoin)
        await wallet.mine(110)
        yield wallet


async def settled(watch: Address[BitcoinWatch], wallet: Wallet) -> None:
    with trio.fail_after(SECONDS):
        while True:
            height = await wallet.bitcoin.call("getblockcount")
            status = await watch.ask(GetBitcoinStatus())
            if status.problem is None and status.read == height:
                return
            await trio.sleep(0.05)


async def deposits(watch: Address[BitcoinWatch], confirmations: int = 1) -> list[PegIn]:
    return [one.peg_in for one in (await watch.ask(GetDeposits(confirmations, 0, 100))).deposits]


async def test_deposits_of_a_wallet_are_found(tmp_path: Path) -> None:
    async with funded(tmp_path) as wallet, watching(tmp_path, [client(wallet.bitcoin)]) as watch:
        raw, text = await wallet.deposit(), await wallet.deposit("0.5", ("0x" + RECIPIENT.hex()).encode().hex())
        await wallet.bitcoin.call("sendtoaddress", ADDRESS, "0.25")
        await wallet.mine(2)
        await settled(watch, wallet)
        found = await deposits(watch, 2)
        assert {displayed(one.txid): one.amount for one in found} == {raw: 100_000, text: 50_000_000}
        assert {one.recipient for one in found} == {RECIPIENT}
        block = await wallet.bitcoin.call("getblockhash", 111)
        assert {displayed(one.bitcoin_block) for one in found} == {block}
        (refused,) = await watch.ask(GetUncredited(0, 10))
        assert refused.payment.amount == 25_000_000
        assert await watch.ask(GetFeeRate()) is None  # regtest has no estimate


async def test_a_reorganisation_undoes_and_redoes(tmp_path: Path) -> None:
    async with funded(tmp_path) as wallet, watching(tmp_path, [client(wallet.bitcoin)]) as watch:
        txid = await wallet.deposit()
        await wallet.mine(8)
        await settled(watch, wallet)
        (before,) = await deposits(watch)
        await wallet.bitcoin.call("invalidateblock", displayed(before.bitcoin_block))
        # The transaction is in the mempool again, and is left out of the other branch.
        await wallet.bitcoin.call("generateblock", await wallet.bitcoin.call("getnewaddress"), [])
        for _ in range(9):
            await wallet.bitcoin.call("generateblock", await wallet.bitcoin.call("getnewaddress"), [])
        await settled(watch, wallet)
        assert await deposits(watch) == []
        assert await watch.ask(GetLost(1)) == (Expected(before.txid, before.amount),)
        await wallet.mine()
        await settled(watch, wallet)
        (after,) = await deposits(watch)
        assert displayed(after.txid) == txid
        assert after.bitcoin_block != before.bitcoin_block
        assert await watch.ask(GetLost(1)) == ()


async def test_a_dead_node_is_noticed_and_the_second_takes_over(tmp_path: Path) -> None:
    """The second node is the same one at another address, so that both have one chain."""
    async with funded(tmp_path) as wallet:
        dead = BitcoinCore("http://127.0.0.1:1", "regtest")
        async with watching(tmp_path, [dead, client(wallet.bitcoin)]) as watch:
            await wallet.deposit()
            await wallet.mine()
            await settled(watch, wallet)
            assert len(await deposits(watch)) == 1
            await wallet.bitcoin.stop()
            with trio.fail_after(SECONDS):
                while (await watch.ask(GetBitcoinStatus())).problem is None:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            with pytest.raises(NotNow, match="Bitcoin cannot be judged now"):
                await deposits(watch)
            await wallet.bitcoin.start()
            await wallet.bitcoin.call("loadwallet", "user")
            await wallet.deposit()
            await wallet.mine()
            await settled(watch, wallet)
            assert len(await deposits(watch)) == 2


async def test_another_network_and_a_wrong_password_are_named(tmp_path: Path) -> None:
    async with funded(tmp_path) as wallet:
        for node, message in (
            (BitcoinCore(wallet.bitcoin.rpc_url, "mainnet", password_credentials(RPC_USER, RPC_PASSWORD)),
             "it is on the network regtest"),
            (BitcoinCore(wallet.bitcoin.rpc_url, "regtest", password_credentials(RPC_USER, "wrong")),
             "does not accept the user and password"),
            (BitcoinCore(wallet.bitcoin.rpc_url, "regtest", cookie_credentials(tmp_path / "no", "url")),
             "cookie file"),
        ):  # fmt: skip
            with pytest.raises(BitcoinUnavailable, match=message):
                await node.chain_info()
            await node.aclose()
        node = client(wallet.bitcoin)
        assert await node.block_hash(10_000) is None
        (first,) = {await node.block_hash(0), await node.block_hash(0)}
        assert first is not None
        block = await node.block(first)
        assert len(block) == 285  # the genesis block of every network
        await node.aclose()


async def test_transactions_are_sent_once_and_again(tmp_path: Path) -> None:
    async with funded(tmp_path) as wallet, watching(tmp_path, [client(wallet.bitcoin)]) as watch:
        txid = await wallet.deposit()
        known = decode_transaction(bytes.fromhex(await wallet.bitcoin.call("getrawtransaction", txid)))
        await watch.ask(Broadcast(known), seconds=SECONDS)
        await wallet.mine()
        await watch.ask(Broadcast(known), seconds=SECONDS)
        other = attrs.evolve(known, raw=b"\x01" + known.raw[1:])
        with pytest.raises(NotBroadcast, match="bad-txns-inputs-missingorspent"):
            await watch.ask(Broadcast(other), seconds=SECONDS)


async def test_deposits_are_seen_in_the_mempool_of_a_pruned_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(bitcoin_mempool, "POLL_SECONDS", 0.1)
    async with bitcoind(tmp_path, "-prune=550", "-txindex=0") as bitcoin:
        await bitcoin.call("createwallet", "user")
        wallet = Wallet(bitcoin)
        await wallet.mine(110)
        async with watching(tmp_path, [client(bitcoin)]) as watch:
            paid, small = await wallet.deposit(), await bitcoin.call("sendtoaddress", ADDRESS, "0.00000999")
            with trio.fail_after(SECONDS):
                while len((await watch.ask(GetUnconfirmed())).deposits) < 2:  # noqa: ASYNC110
                    await trio.sleep(0.05)
            seen = await watch.ask(GetUnconfirmed())
            assert {displayed(one.txid): (one.amount, one.recipient) for one in seen.deposits} == {
                paid: (100_000, RECIPIENT),
                small: (999, None),
            }
            assert (seen.payments, seen.unread, seen.problem) == ((), 0, None)
            await wallet.mine()
            await settled(watch, wallet)
            with trio.fail_after(SECONDS):
                while (await watch.ask(GetUnconfirmed())).deposits:  # noqa: ASYNC110
                    await trio.sleep(0.05)


async def test_a_pruned_block_is_named_and_read_from_the_second_node(tmp_path: Path) -> None:
    """A new node needs the old blocks, which its Bitcoin node may have removed."""
    folders = [tmp_path / name for name in ("pruned", "whole")]
    for folder in folders:
        folder.mkdir()
    async with (
        bitcoind(folders[0], "-fastprune", "-prune=1", "-txindex=0") as pruned,
        bitcoind(folders[1]) as whole,
    ):
        await pruned.call("createwallet", "user")
        wallet = Wallet(pruned)
        for _ in range(12):
            await wallet.mine(50)
        for height in range(1, 601):
            block = await pruned.call("getblock", await pruned.call("getblockhash", height), 0)
            await whole.call("submitblock", block)
        assert await pruned.call("pruneblockchain", 310) > 0
        async with watching(tmp_path / "one", [client(pruned)]) as watch:
            with trio.fail_after(SECONDS):
                while "pruned" not in str((await watch.ask(GetBitcoinStatus())).problem):  # noqa: ASYNC110
                    await trio.sleep(0.05)
            assert "use a Bitcoin node that still has the block" in str(
                (await watch.ask(GetBitcoinStatus())).problem
            )
        async with watching(tmp_path / "two", [client(pruned), client(whole)]) as watch:
            await settled(watch, wallet)
