"""Deposits on a real Bitcoin node become BTC on a real daemon: a chain of one with the embedded engine."""

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from btclib_secp256k1 import ssa
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.config.chain_spec import load_chain_spec
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.possession import prove_bitcoin_key, x_only_key
from alysd.peg.federation import output_script
from alysd.peg.signing import assemble_witness, message_of, spending_of
from alysd.testing.components import RPC_PASSWORD, RPC_USER
from alysd.testing.daemon import Daemon, daemon
from alysd.types.hashes import BitcoinHash, SchnorrSignature, XOnlyKey, displayed
from alysd.types.peg import BRIDGE_ADDRESS, OutPoint, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import decode_transaction, encode_transaction, make_transaction
from alysd.wire.keccak import keccak256
from tests.integration.bitcoin_wallet import OutputTo, Wallet, data, wallet
from tests.integration.peg_chain import init_peg_chain

pytestmark = pytest.mark.component

SECONDS = 90.0
CONFIRMATIONS = 2
ELSEWHERE = b"\x00\x14" + b"\x07" * 20
WEI_PER_SAT = 10**10
CHAIN_ID = 121212
SECRET = sha256(b"the only member's Bitcoin key").digest()
USER: LocalAccount = Account.from_key(sha256(b"a user").digest())


@attrs.frozen
class Rig:
    """A wallet, a daemon that follows its Bitcoin node, and the script to which deposits go."""

    wallet: Wallet
    node: Daemon
    script: bytes

    def deposit_of(self, sat: int, recipient: bytes) -> tuple[OutputTo, OutputTo]:
        return (sat, self.script), data(recipient)

    async def balance(self, recipient: bytes) -> int:
        """The balance of an account in sat."""
        wei = int(await self.node.eth("eth_getBalance", "0x" + recipient.hex(), "latest"), 16)
        assert wei % WEI_PER_SAT == 0
        return wei // WEI_PER_SAT

    async def credited(self, recipient: bytes, sat: int) -> None:
        """Wait until the account has this balance."""

        async def there() -> bool:
            return await self.balance(recipient) >= sat

        await until(there)
        assert await self.balance(recipient) == sat

    async def blocks(self, count: int) -> None:
        """Wait for so many new blocks of the daemon."""
        first = (await self.node.call("getheadblock"))["height"]

        async def there() -> bool:
            return (await self.node.call("getheadblock"))["height"] >= first + count

        await until(there)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(SECONDS):
        while not await condition():  # noqa: ASYNC110  another process has no event to wait for
            await trio.sleep(0.05)


def account(name: str) -> bytes:
    return name.encode().rjust(20, b"\x01")


@asynccontextmanager
async def rig(folder: Path, coins: int = 20) -> AsyncGenerator[Rig]:
    """A chain with a peg whose deposits need `CONFIRMATIONS`, and the author one more."""
    files = folder / "files"
    chain = init_peg_chain(files)
    text = chain.read_text().replace("peg_in_confirmations = 6", f"peg_in_confirmations = {CONFIRMATIONS}")
    authority = load_chain_spec(chain).authorities[0]
    proof = prove_bitcoin_key(SECRET, CHAIN_ID, authority)
    for key, value in (("keys", x_only_key(SECRET)), ("proofs", proof)):
        text = re.sub(
            rf"federation_bitcoin_{key} = \[[^]]*\]", f'federation_bitcoin_{key} = ["0x{value.hex()}"]', text
        )
    chain.write_text(text)
    key_file = files / "bitcoin.key"
    write_key_file(key_file, "bitcoin", SECRET, x_only_key(SECRET).hex())
    script = output_script(load_chain_spec(chain).federation_bitcoin_keys)
    async with wallet(folder, coins) as funded:
        url = funded.bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
        settings = (f"bitcoin.url={url}", f"peg.key_file={key_file}")
        async with daemon(folder, *settings, config=files / "alysd.toml") as node:
            yield Rig(funded, node, script)


async def test_a_deposit_becomes_btc(tmp_path: Path) -> None:
    """It is minted at its last confirmation and one more, and never again."""
    async with rig(tmp_path) as run:
        user = account("user")
        await run.wallet.send(*run.deposit_of(250_000, user))
        await run.wallet.mine(CONFIRMATIONS)
        await run.blocks(3)
        assert await run.balance(user) == 0
        await run.wallet.mine()
        begun = time.perf_counter()
        await run.credited(user, 250_000)
        print(f"from the last confirmation to BTC: {time.perf_counter() - begun:.1f} s")
        await run.wallet.mine(3)
        await run.blocks(3)
        assert await run.balance(user) == 250_000
        assert run.node.events("slots_missed") == []


async def test_every_form_of_a_deposit(tmp_path: Path) -> None:
    """All in one Bitcoin block, because each is judged by itself."""
    async with rig(tmp_path) as run:
        raw, text, prefixed, several, twice, none = (
            account(name) for name in ("raw", "text", "0x", "several", "twice", "none")
        )
        script = run.script
        good = [
            run.deposit_of(100_000, raw),
            run.deposit_of(110_000, text.hex().encode()),
            run.deposit_of(120_000, b"0x" + prefixed.hex().upper().encode()),
            ((150_000, script), data(several), (160_000, script), (99_999, script), (70_000, b"\x51")),
            run.deposit_of(130_000, twice),
            run.deposit_of(140_000, twice),
            run.deposit_of(700_000, b"reserve"),
        ]
        bad = [
            ((99_999, script), data(none)),
            ((300_000, script),),
            ((300_000, script), data(none), data(raw)),
            ((300_000, script), data(none[:19])),
            ((300_000, script), data(bytes(20))),
        ]
        transactions = [await run.wallet.transaction(*outputs) for outputs in (*good, *bad)]
        await run.wallet.mine_only(transactions)
        await run.wallet.mine(CONFIRMATIONS)
        for recipient, sat in ((raw, 100_000), (text, 110_000), (prefixed, 120_000)):
            await run.credited(recipient, sat)
        assert await run.balance(several) == 310_000, "an output below the minimum is no part of the deposit"
        assert await run.balance(twice) == 270_000
        assert await run.balance(none) == 0
        found = run.node.events("bitcoin_payments_found")
        assert [(one["deposits"], one["uncredited"]) for one in found] == [(len(good), len(bad))]


async def test_forty_deposits_in_one_bitcoin_block(tmp_path: Path) -> None:
    """A block has 16 withdrawals; the others wait, and none is lost."""
    async with rig(tmp_path, coins=45) as run:
        users = [account(f"user {number}") for number in range(40)]
        for user in users:
            await run.wallet.send(*run.deposit_of(100_000, user))
        await run.wallet.mine(CONFIRMATIONS + 1)
        for user in users:
            await run.credited(user, 100_000)


async def test_a_reorganised_deposit_is_minted_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as run:
        user = account("user")
        await run.wallet.send(*run.deposit_of(250_000, user))
        await run.wallet.mine()
        block = await run.wallet.bitcoin.call("getbestblockhash")
        await run.wallet.mine()
        await run.blocks(1)
        await run.wallet.bitcoin.call("invalidateblock", block)
        await run.wallet.mine_only(count=3)
        await run.blocks(2)
        assert await run.balance(user) == 0
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.credited(user, 250_000)
        # Above its confirmations, the deposit moves once more.
        await run.wallet.bitcoin.call("invalidateblock", await run.wallet.bitcoin.call("getbestblockhash"))
        await run.wallet.mine(3)
        await run.blocks(3)
        assert await run.balance(user) == 250_000
        assert run.node.events("peg_halted") == []


async def test_what_is_paid_while_the_node_is_down_is_minted_once(tmp_path: Path) -> None:
    """Also over kill -9, and a Bitcoin node that dies meanwhile."""
    async with rig(tmp_path) as run:
        early, late = account("early"), account("late")
        await run.wallet.send(*run.deposit_of(250_000, early))
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.credited(early, 250_000)
        await run.node.kill()
        await run.wallet.send(*run.deposit_of(350_000, late))
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.wallet.bitcoin.stop()
        await run.node.start()
        await run.blocks(3)  # without Bitcoin
        assert await run.balance(late) == 0
        await run.wallet.bitcoin.start()
        await run.credited(late, 350_000)
        assert await run.balance(early) == 250_000
        assert run.node.events("bitcoin_not_usable")


async def test_the_peg_halts_when_bitcoin_loses_a_minted_deposit(tmp_path: Path) -> None:
    """A reorganisation 10 deep: nothing more is minted until the deposit is back, and blocks go on."""
    async with rig(tmp_path) as run:
        user, other = account("user"), account("other")
        await run.wallet.send(*run.deposit_of(250_000, user))
        await run.wallet.mine()
        block = await run.wallet.bitcoin.call("getbestblockhash")
        await run.wallet.mine(9)
        await run.credited(user, 250_000)
        await run.wallet.bitcoin.call("invalidateblock", block)
        await run.wallet.mine_only([await run.wallet.transaction(*run.deposit_of(300_000, other))], 11)
        await until(lambda: logged(run.node, "peg_halted"))
        await run.blocks(3)
        assert await run.balance(other) == 0
        await run.wallet.mine(2)  # with the first deposit, which waits in the mempool
        await run.credited(other, 300_000)
        assert await run.balance(user) == 250_000
        assert len(run.node.events("peg_resumed")) == 1


async def test_the_peg_halts_when_a_quorum_steals_a_deposit(tmp_path: Path) -> None:
    """The key signs outside of the protocol. Nothing more is minted, also by a node that restarts."""
    async with rig(tmp_path) as run:
        user, other = account("user"), account("other")
        await run.wallet.send(*run.deposit_of(250_000, user))
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.credited(user, 250_000)
        deposit = (await run.node.call("listpegoperations"))["operations"][0]["txid"]
        stolen = await run.wallet.bitcoin.call("sendrawtransaction", theft(run, deposit, Sat(250_000)))
        await run.blocks(3)
        assert run.node.events("peg_halted") == [], "nobody can know before Bitcoin confirms it"
        await run.wallet.send(*run.deposit_of(300_000, other))
        await run.wallet.mine()
        await until(lambda: logged(run.node, "peg_halted"))
        (halted,) = run.node.events("peg_halted")
        assert (halted["thefts"], halted["stolen"], halted["txid"]) == (1, 250_000, stolen)
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.blocks(3)
        assert await run.balance(other) == 0
        peg = await run.node.call("getpeg")
        assert (peg["halted"], peg["stolen"], peg["held"]) == (True, 250_000, 250_000)
        assert stolen in peg["haltreason"]
        await run.node.kill()
        await run.node.start()

        async def halted_again() -> bool:
            return (await run.node.call("getpeg"))["halted"] is True

        await until(halted_again)
        assert (await run.balance(other), len(run.node.events("peg_halted"))) == (0, 2)


def theft(run: Rig, deposit: str, amount: Sat) -> str:
    """A transaction in hex that the only member signs outside of the protocol, and that spends a deposit."""
    spending = spending_of((XOnlyKey(x_only_key(SECRET)),))
    spent = [TransactionOutput(amount, run.script)]
    source = OutPoint(BitcoinHash(bytes.fromhex(deposit)[::-1]), 0)
    made = make_transaction(
        2, [TransactionInput(source, b"", 0)], [TransactionOutput(Sat(amount - 1_000), ELSEWHERE)], 0
    )
    signature = SchnorrSignature(ssa.sign(message_of(made, spent, 0, spending.leaf_hash), SECRET))
    return encode_transaction(attrs.evolve(made, witness=(assemble_witness(spending, {0: signature}),))).hex()


async def test_a_burn_is_paid(tmp_path: Path) -> None:
    """The whole way back: a request, a proposal, finality, a signature, a payment, and its confirmation."""
    async with rig(tmp_path) as run:
        user = bytes.fromhex(USER.address[2:])
        await run.wallet.send(*run.deposit_of(5_000_000, user))
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.credited(user, 5_000_000)
        address = await run.wallet.bitcoin.call("getnewaddress", "", "bech32m")
        await burn(run.node, address, 1_000_000)
        begun = time.perf_counter()

        async def sent() -> bool:
            return bool(await run.wallet.bitcoin.call("getrawmempool"))

        await until(sent)
        print(f"from the burn to the payment's broadcast: {time.perf_counter() - begun:.1f} s")
        (txid,) = await run.wallet.bitcoin.call("getrawmempool")
        await run.wallet.mine(CONFIRMATIONS + 1)
        paid = await run.wallet.bitcoin.call("gettransaction", txid)
        fee = 1_000_000 - round(paid["amount"] * 10**8)
        assert 150 < fee < 1_000
        # The change can be spent only when the ledger knows that the payment is confirmed.
        await burn(run.node, address, 3_500_000)
        await until(sent)
        (second,) = await run.wallet.bitcoin.call("getrawmempool")
        raw = decode_transaction(bytes.fromhex(await run.wallet.bitcoin.call("getrawtransaction", second)))
        assert [displayed(one.spends.txid) for one in raw.inputs] == [txid]


async def burn(node: Daemon, address: str, sat: int) -> None:
    """Ask for a payment of `sat` to `address`, and wait until a block has the request."""
    argument = abi_encode(["bytes"], [address.encode()])
    signed = USER.sign_transaction({
        "chainId": CHAIN_ID,
        "nonce": int(await node.eth("eth_getTransactionCount", USER.address, "latest"), 16),
        "to": bytes(BRIDGE_ADDRESS),
        "value": sat * WEI_PER_SAT,
        "gas": 200_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9,
        "data": keccak256(b"requestPegOut(bytes)")[:4] + argument,
    })  # fmt: skip
    sent = await node.eth("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))

    async def included() -> bool:
        receipt = await node.eth("eth_getTransactionReceipt", sent)
        assert receipt is None or receipt["status"] == "0x1"
        return receipt is not None

    await until(included)


async def logged(node: Daemon, event: str) -> bool:
    """Whether the daemon has logged such an event."""
    found: list[dict[str, Any]] = node.events(event)
    return bool(found)


async def test_a_payment_that_the_mempool_has_dropped_is_sent_again(tmp_path: Path) -> None:
    """A full mempool drops payments with low fees, and a mempool forgets all after two weeks."""
    async with rig(tmp_path) as run:
        bitcoin = run.wallet.bitcoin
        user = bytes.fromhex(USER.address[2:])
        await run.wallet.send(*run.deposit_of(5_000_000, user))
        await run.wallet.mine(CONFIRMATIONS + 1)
        await run.credited(user, 5_000_000)
        await burn(run.node, await bitcoin.call("getnewaddress", "", "bech32m"), 1_000_000)

        async def waiting() -> set[str]:
            return set(await bitcoin.call("getrawmempool"))

        async def sent() -> bool:
            return bool(await waiting())

        await until(sent)
        (payment,) = await waiting()
        await bitcoin.call("setmocktime", int(time.time()) + 15 * 24 * 3_600)
        other = await run.wallet.send((10_000, b"\x51\x20" + bytes(31) + b"\x01"))  # makes the node drop old ones
        assert await waiting() == {other}
        await bitcoin.call("setmocktime", 0)

        async def again() -> bool:
            return payment in await waiting()

        await until(again)
        await run.wallet.mine()
        assert (await bitcoin.call("getrawtransaction", payment, True))["confirmations"] == 1
