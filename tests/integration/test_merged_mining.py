"""Merged mining for real: bitcoind on regtest, the daemon, and `alysd mine` between them.

bitcoind accepts the Bitcoin block and the same work makes Alys blocks final, wherever the commitment stands; every
way in which a proof can be wrong is refused by its name; either side may go away.
"""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.consensus.auxpow import commitment, target_of
from alysd.integrations.alys_node import AlysNodeRpc
from alysd.integrations.bitcoin import BitcoinRpc, cookie_credentials, password_credentials
from alysd.testing.components import RPC_PASSWORD, RPC_USER, Bitcoind, bitcoind
from alysd.testing.daemon import Daemon, daemon
from alysd.testing.processes import ComponentRefusal
from alysd.types.auxpow import AuxPow, MerkleBranch
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace
from alysd.types.hashes import AuxHash, EvmAddress, displayed, sha256d
from alysd.types.mining import AuxOffer
from alysd.wire.auxpow import encode_auxpow
from alysd.wire.bitcoin_block import ParentCandidate, build_candidate, witness_commitment
from alysd.workflows.nonce_search import search
from examples.verify_finality import verify

pytestmark = pytest.mark.component

MINER = "0x00000000000000000000000000000000000A11ce".lower()
VERIFY = Path(__file__).parents[2] / "examples/verify_finality.py"
NO_INTERNAL_MINER = ("mining.internal=false",)
SECONDS = 60.0
"""For what takes two or three slots of 2 s on an idle machine."""


@attrs.frozen
class Rig:
    """A Bitcoin node with a wallet and coins, and an Alys node that nobody mines for."""

    bitcoin: Bitcoind
    node: Daemon

    async def spend(self, times: int) -> None:
        """Put so many transactions into the empty mempool.

        The wallet draws some locktimes, and Bitcoin Knots relays no transaction with the locktime 21.
        """
        while len(await self.bitcoin.call("getrawmempool")) < times:
            await self.bitcoin.call("sendtoaddress", await self.bitcoin.call("getnewaddress"), 0.1)

    async def mine(self, *options: str, **waiting: Any) -> tuple[int, list[dict[str, Any]]]:
        """Run `alysd mine` to its end; its exit code and its log."""
        process = await trio.run_process(self.command(*options), capture_stdout=True, check=False, **waiting)
        return process.returncode, [json.loads(line) for line in process.stdout.splitlines()]

    def command(self, *options: str) -> list[str]:
        url = self.bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
        ends = ("--bitcoin-url", url, "--node-url", self.node.url, "--address", MINER)
        return [sys.executable, "-m", "alysd", "mine", *ends, *options]


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    async with bitcoind(folder) as bitcoin, daemon(folder, *NO_INTERNAL_MINER) as node:
        await bitcoin.call("createwallet", "miner")
        await bitcoin.call("generatetoaddress", 110, await bitcoin.call("getnewaddress"))
        yield Rig(bitcoin, node)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition of the real world."""
    with trio.fail_after(SECONDS):
        while not await condition():  # noqa: ASYNC110  another process has no event to wait for
            await trio.sleep(0.1)


async def final_block(node: Daemon) -> dict[str, Any]:
    """The newest final block. The search is repeated, since a proof may be included between two calls."""
    found = await search_final_block(node)
    while (again := await search_final_block(node))["hash"] != found["hash"]:
        found = again
    return found


async def search_final_block(node: Daemon) -> dict[str, Any]:
    """The first final block from the head down."""
    height = (await node.call("getheadblock"))["height"]
    while True:
        block = await node.call("getblockbyheight", height)
        if block["final"]:
            return block
        height -= 1


async def test_one_work_makes_a_bitcoin_block_and_alys_final_in_every_place(tmp_path: Path) -> None:
    """This is the normal work of a pool. Without it, no Alys block becomes final."""
    async with rig(tmp_path) as run:
        await until(lambda: offers_work(run.node))
        for place in CommitmentPlace:
            before = await final_block(run.node)
            mined = await mine_both(run, place)
            with trio.fail_after(SECONDS):
                final = await becomes_final_after(run.node, before["height"])
            await included(run.node, final, mined)
            await proved_to_outsiders(run, final, mined)


async def mine_both(run: Rig, place: CommitmentPlace) -> dict[str, Any]:
    """Mine a Bitcoin block of six transactions whose hash meets Alys's target too, which one in five does not."""
    events: list[str] = []
    while "proof_accepted" not in events:
        height = await run.bitcoin.call("getblockcount")
        await run.spend(5)
        code, log = await run.mine("--place", place.value, "--blocks", "1")
        events = [entry["event"] for entry in log]
        assert code == 0
        assert set(events) <= {"mined_block_accepted", "proof_accepted"}
        assert events.count("mined_block_accepted") == 1
        assert await run.bitcoin.call("getblockcount") == height + 1
    mined = await run.bitcoin.call("getblock", await run.bitcoin.call("getbestblockhash"), 2)
    assert len(mined["tx"]) == 6
    return mined


async def included(node: Daemon, final: dict[str, Any], mined: dict[str, Any]) -> None:
    """The block that includes the proof names the very Bitcoin block, and whom the fees go to.

    It is not always the first block with a proof above the final one: the proof before may be included there.
    """
    block = await node.call("getblockbyhash", final["finalizedby"]["hash"])
    assert block["auxpow"]["parentblockhash"] == mined["hash"]
    assert block["auxpow"]["rangeend"] == final["hash"]
    assert block["auxpow"]["feerecipient"].lower() == MINER


async def proved_to_outsiders(run: Rig, final: dict[str, Any], mined: dict[str, Any]) -> None:
    """The script finds the work in the Bitcoin chain for both ends of the range, and refuses each changed byte."""
    answer = await run.node.call("getfinalityproof", final["hash"])
    assert answer["finalizedby"] == final["finalizedby"]
    assert answer["parentheader"]["previousblockhash"] == mined["previousblockhash"]
    bitcoin = run.bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
    for block in (answer["blocks"][0], final["hash"]):
        options = (block, run.node.url, bitcoin, "--chain-id", str(answer["chainid"]))
        done = await trio.run_process(
            [sys.executable, "-I", "-S", str(VERIFY), *options], capture_stdout=True, check=False
        )
        words = f"final: the work is the Bitcoin block {mined['hash']}, which has 1 confirmations\n"
        assert (done.returncode, done.stdout.decode()) == (0, words)
    headers = [await run.bitcoin.call("getblockheader", mined["hash"], False)]
    for place in range(len(answer["auxpow"]) // 2):
        proof = bytearray.fromhex(answer["auxpow"])
        proof[place] ^= 1
        falsified = {**answer, "auxpow": proof.hex()}
        with pytest.raises(ValueError, match=r"\w"):
            assert_in(headers, verify(falsified, final["hash"], answer["chainid"])[0])


def assert_in(headers: list[str], parent: str) -> None:
    """Raise ValueError unless a header with the hash `parent` is in the Bitcoin chain."""
    if parent not in [displayed(sha256d(bytes.fromhex(header))) for header in headers]:
        raise ValueError(f"{parent} is not in the Bitcoin chain")


async def offers_work(node: Daemon) -> bool:
    """Whether a block is committed, so that there is work."""
    try:
        await node.call("createauxblock", MINER)
    except ComponentRefusal:
        return False
    return True


async def becomes_final_after(node: Daemon, height: int) -> dict[str, Any]:
    while (block := await final_block(node))["height"] <= height:  # noqa: ASYNC110  nor has this one
        await trio.sleep(0.2)
    return block


@attrs.frozen
class Bench:
    """All parts of a proof, so that a test can make each part wrong."""

    template: BlockTemplate
    payout: bytes
    offer: AuxOffer

    def candidate(self, committed: bytes, place: CommitmentPlace = CommitmentPlace.SCRIPT_SIG) -> ParentCandidate:
        return build_candidate(self.template, self.payout, committed, place, 1)

    def solve(self, candidate: ParentCandidate, *, meets: bool = True) -> AuxPow:
        """A proof whose hash meets the target, or just misses it."""
        for nonce in range(10_000):
            met = search(candidate.header_start, self.offer.target, nonce, nonce + 1) is not None
            if met == meets:
                return candidate.auxpow(nonce)
        raise AssertionError("no nonce found")

    def right(self) -> AuxPow:
        return self.solve(self.candidate(commitment(self.offer.aux_hash)))


def wrong_proofs(bench: Bench) -> Iterator[tuple[str, AuxPow]]:
    """Proofs with one wrong part each, and the words of the error. The other parts are valid."""
    work, right = bench.offer.aux_hash, bench.right()
    tag, raw = commitment(work), CommitmentPlace.RAW_OUTPUT
    sibling = bytes(range(32))
    branch = right.coinbase_branch
    yield "contains no commitment", bench.solve(bench.candidate(b"no commitment here"))
    yield "2 commitments in its scriptSig", bench.solve(bench.candidate(tag + tag))
    yield "not 44 bytes", bench.solve(bench.candidate(tag[:-1]))
    yield "coinbase's outputs is not 44 bytes", bench.solve(bench.candidate(b"\x51" + tag, raw))
    yield "committed merkle root: expected", bench.solve(bench.candidate(commitment(AuxHash(sibling))))
    yield "size of the commitment's tree", bench.solve(bench.candidate(commitment(work, size=2)))
    yield "is above the target", bench.solve(bench.candidate(tag), meets=False)
    yield "the coinbase must be the first", attrs.evolve(right, coinbase_branch=attrs.evolve(branch, index=1))
    cut = attrs.evolve(branch, siblings=branch.siblings[:-1])
    yield "merkle root of the parent block", attrs.evolve(right, coinbase_branch=cut)
    long = MerkleBranch((sibling,) * 31, 0)
    yield "31 siblings; at most 30 are allowed", attrs.evolve(right, chain_branch=long)
    yield "index in the commitment's tree", attrs.evolve(right, chain_branch=MerkleBranch((), 1))
    yield "committed merkle root: expected", attrs.evolve(right, chain_branch=MerkleBranch((sibling,), 0))


async def test_every_way_a_proof_can_be_wrong_is_refused_by_name(tmp_path: Path) -> None:
    """A pool's operator must see what is wrong; and whatever gets through makes blocks final without work."""
    async with rig(tmp_path) as run, bitcoin_client(run) as bitcoin, AlysNodeRpc(run.node.url) as alys:
        await run.spend(3)
        await until(lambda: offers_work(run.node))
        bench = Bench(
            await bitcoin.block_template(),
            await bitcoin.payout_script(None),
            await alys.create_work(EvmAddress(bytes.fromhex(MINER[2:]))),
        )
        shown = bench.offer.aux_hash[::-1].hex()
        for words, proof in wrong_proofs(bench):
            assert words in await refusal(run.node, shown, encode_auxpow(proof).hex())
        right = encode_auxpow(bench.right()).hex()
        assert "does not offer work with the hash" in await refusal(run.node, "ab" * 32, right)
        assert "bytes" in await refusal(run.node, shown, right[:-2], code=-32602)
        assert await run.node.call("getqueuedpow") is None
        assert await run.node.call("submitauxblock", shown, right) is True
        await until(lambda: is_final(run.node))
        assert "stale work" in await refusal(run.node, shown, right)


async def is_final(node: Daemon) -> bool:
    return (await node.call("getblockbyheight", 1))["final"]


async def refusal(node: Daemon, shown: str, proof: str, *, code: int = -32605) -> str:
    with pytest.raises(ComponentRefusal) as caught:
        await node.call("submitauxblock", shown, proof)
    assert caught.value.code == code
    return caught.value.message


@asynccontextmanager
async def bitcoin_client(run: Rig) -> AsyncGenerator[BitcoinRpc]:
    async with BitcoinRpc(run.bitcoin.rpc_url, password_credentials(RPC_USER, RPC_PASSWORD)) as bitcoin:
        yield bitcoin


async def test_either_side_may_go_away_and_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """A restart of either node would end the miner, or a person could not stop it."""
    async with rig(tmp_path) as run:
        log = tmp_path / "mine.log"
        with log.open("wb") as output:
            miner = await trio.lowlevel.open_process(run.command(), stdout=output, stderr=subprocess.STDOUT)
        try:
            await until(lambda: said(log, "proof_accepted", 1))
            for side, name in ((run.bitcoin, "Bitcoin node"), (run.node, "Alys node")):
                await side.stop()
                await until(lambda name=name: said(log, f"{name} at ", 1))
                await side.start()
                if side is run.bitcoin:
                    await run.bitcoin.call("loadwallet", "miner")
                accepted = count(log, "mined_block_accepted")
                await until(lambda accepted=accepted: said(log, "mined_block_accepted", accepted + 1))
            miner.send_signal(signal.SIGINT)
            with trio.fail_after(2.0):
                assert await miner.wait() == 130
        finally:
            miner.kill()
        assert "Traceback" not in log.read_text()


async def test_mistakes_that_bitcoind_reports_are_one_sentence(tmp_path: Path) -> None:
    """Without a wallet the miner ended in a traceback: a person has to give an address, a wallet or a password."""
    async with bitcoind(tmp_path) as node:

        async def complaint(*options: str, path: str = "") -> str:
            url = node.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@") + path
            command = [sys.executable, "-m", "alysd", "mine", "--bitcoin-url", url, *options]
            with trio.fail_after(SECONDS):
                process = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
            (line,) = process.stderr.decode().splitlines()
            assert (process.returncode, process.stdout) == (2, b"")
            assert len(line) <= 300
            return line

        assert "No wallet is loaded." in (missing := await complaint())
        assert missing.startswith(f"alysd: the Bitcoin node at {node.rpc_url}: ")
        assert missing.endswith("; name an address to pay, or a wallet in the URL (…/wallet/NAME)")
        assert "wallet does not exist or is not loaded; name an" in await complaint(path="/wallet/none")
        assert "alysd: Bitcoin address 'nonsense': " in await complaint("--bitcoin-address", "nonsense")
        for name in ("one", "two"):
            await node.call("createwallet", name)
        assert "Multiple wallets are loaded." in await complaint()


def count(log: Path, words: str) -> int:
    return log.read_text().count(words)


async def said(log: Path, words: str, times: int) -> bool:
    return count(log, words) >= times


async def test_the_client_against_a_real_node(tmp_path: Path) -> None:
    """Bitcoin Core's own words: template, commitment to the witnesses, waiting, the cookie, an unknown address."""
    async with bitcoind(tmp_path) as node:
        await node.call("createwallet", "miner")
        address = await node.call("getnewaddress")
        await node.call("generatetoaddress", 110, address)
        for _ in range(3):
            await node.call("sendtoaddress", address, 0.1)
        async with BitcoinRpc(node.rpc_url, password_credentials(RPC_USER, RPC_PASSWORD)) as bitcoin:
            info, template = await bitcoin.chain_info(), await bitcoin.block_template()
            assert (info.network, info.height, template.height) == ("regtest", 110, 111)
            assert template.target == target_of(template.bits)
            given = await node.call("getblocktemplate", {"rules": ["segwit"]})
            assert witness_commitment(template.transactions).hex() == given["default_witness_commitment"][12:]
            assert await bitcoin.wait_for_new_block(info.tip, 0.2) == info.tip
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.call, "generatetoaddress", 1, address)
                with trio.fail_after(10):
                    assert await bitcoin.wait_for_new_block(info.tip, 30.0) != info.tip
        with pytest.raises(Exception, match="cookie file"):
            async with BitcoinRpc(node.rpc_url, cookie_credentials(tmp_path / "none", node.rpc_url)) as bitcoin:
                await bitcoin.chain_info()
