"""The JSON-RPC of Alys, called through its dispatcher as by a mining pool."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.api import alys_rpc
from alysd.api.alys_rpc import ASKS, CODES, IN_PLACE, AlysRpc
from alysd.api.jsonrpc import Dispatcher
from alysd.config.bridge import bridge_account
from alysd.consensus.auxpow import target_of
from alysd.errors import RpcCode
from alysd.messages.auxpow import CreateWork, SubmitWork
from alysd.testing.blocks import CHAIN_ID, MINER, context_of, digest, make_spec
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.mining import MiningWorld, solved
from alysd.types.auxpow import AuxPow
from alysd.types.chain import ChainState
from alysd.types.hashes import AuxHash, EvmAddress, displayed
from alysd.types.latest import Latest
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.auxpow import decode_auxpow, encode_auxpow
from alysd.wire.block_ssz import encode_block
from alysd.wire.evidence import decode_evidence
from alysd.workflows.internal_miner import parent_candidate
from alysd.workflows.nonce_search import search
from tests.samples import evidence

ADDRESS = "0x" + "11" * 20


@attrs.define
class Client:
    """Calls methods over the real dispatcher."""

    world: MiningWorld
    miner: EvmAddress | None = None
    dispatcher: Dispatcher = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        world = self.world
        rpc = AlysRpc(
            world.reader,
            lambda: world.commits,
            world.auxpow,
            context_of(world.spec),
            Latest(self.miner),
            world.timing,
        )
        self.dispatcher = Dispatcher(rpc.methods(), CODES)

    async def answer(self, method: str, *params: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await self.dispatcher.answer(json.dumps(request).encode())
        assert answer is not None
        return json.loads(answer)

    async def call(self, method: str, *params: Any) -> Any:
        answer = await self.answer(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    async def refused(self, method: str, *params: Any) -> tuple[int, str]:
        error = (await self.answer(method, *params))["error"]
        return error["code"], error["message"]


async def proof_for(world: MiningWorld, hash_shown: str, *, meets: bool = True) -> tuple[AuxHash, AuxPow]:
    """A proof for offered work that survives the wire, or one that misses the target."""
    offer = await world.auxpow.ask(CreateWork(MINER))
    assert offer.work.aux_hash[::-1].hex() == hash_shown
    candidate = parent_candidate(offer, 1_700_000_000, 0)
    nonce = search(candidate.header_start, offer.target, 0, 1000)
    assert nonce is not None
    if not meets:
        nonce = next(n for n in range(1000) if search(candidate.header_start, offer.target, n, n + 1) is None)
    return offer.work.aux_hash, candidate.auxpow(nonce)


async def test_a_pools_whole_way(autojump_clock: object) -> None:
    """createauxblock, submitauxblock, getqueuedpow: what every merge-mined coin offers."""
    world = MiningWorld()
    world.blocks_in(1, 2, 3)
    async with world.running():
        client = Client(world)
        assert await client.call("getqueuedpow") is None
        offer = await client.call("createauxblock", ADDRESS)
        work, proof = await proof_for(world, offer["hash"])
        assert await client.call("submitauxblock", offer["hash"], encode_auxpow(proof).hex()) is True
        queued = await client.call("getqueuedpow")
        assert (queued["hash"], queued["blocks"]) == (work[::-1].hex(), 2)


async def test_getauxblock_has_both_of_namecoins_forms(autojump_clock: object) -> None:
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        client = Client(world, miner=MINER)
        offer = await client.call("getauxblock")
        assert offer == await client.call("createauxblock", ADDRESS)
        _, proof = await proof_for(world, offer["hash"])
        assert await client.call("getauxblock", offer["hash"], encode_auxpow(proof).hex()) is True
        code, words = await Client(world).refused("getauxblock")
        assert (code, "mining.fee_recipient" in words) == (-32605, True)
        code, words = await client.refused("getauxblock", offer["hash"])
        assert (code, words) == (-32602, f"params[0]: must start with 0x, got {offer['hash'][:40]!r}")


@pytest.mark.parametrize("params", [[], None, [None], [None, None], {}], ids=str)
async def test_a_wallets_usual_call_is_answered(params: Any, autojump_clock: object) -> None:
    """Pool software that writes its absent parameters as null would stop at the first request for work."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        client = Client(world, miner=MINER)
        request = {"id": 1, "method": "getauxblock", "params": params}
        answer = json.loads(await client.dispatcher.answer(json.dumps(request).encode()) or b"")
        assert answer["result"] == await client.call("createauxblock", ADDRESS)
        assert answer["result"] == await client.call("getauxblock", ADDRESS)
        assert answer["result"]["target"] == answer["result"]["_target"]


async def test_a_pool_finds_the_block_that_includes_its_work(autojump_clock: object) -> None:
    """A pool pays its miners once getblock, asked with the hash of the work, has enough confirmations."""
    world = MiningWorld()
    async with world.running():
        client = Client(world)
        world.blocks_in(1, 2, 3)
        offer = await client.call("createauxblock", ADDRESS)
        work, proof = await proof_for(world, offer["hash"])
        code, words = await client.refused("getblock", offer["hash"])
        assert (code, "nor the hash of work whose proof a block includes" in words) == (-32604, True)
        queued = await world.auxpow.ask(SubmitWork(work, proof))
        fourth = world.block(4, header=queued.header)
        world.block(5)
        found = await client.call("getblock", offer["hash"])
        assert found == await client.call("getblock", fourth.hash[::-1].hex(), 1)
        assert found == await client.call("getblockbyheight", 4)
        assert (found["auxhash"], found["confirmations"]) == (offer["hash"], 2)
        assert (await client.call("getblockbyheight", 2))["finalizedby"]["auxhash"] == offer["hash"]
        assert (await client.call("getblockbyheight", 2))["auxhash"] is None
        encoded = await client.call("getblock", offer["hash"], False)
        assert encoded == encode_block(world.blocks[fourth.hash]).hex()
        assert (await client.refused("getblock", offer["hash"], 4))[0] == -32602


async def test_the_check_that_a_proof_fails_is_named(autojump_clock: object) -> None:
    """A pool's operator could not tell a stale share from a wrong coinbase."""
    world = MiningWorld()
    world.blocks_in(1, 2)
    async with world.running():
        client = Client(world)
        offer = await client.call("createauxblock", ADDRESS)
        _, missed = await proof_for(world, offer["hash"], meets=False)
        _, proof = await proof_for(world, offer["hash"])
        encoded = encode_auxpow(proof).hex()
        unknown = digest("unknown").hex()
        code, words = await client.refused("submitauxblock", offer["hash"], encode_auxpow(missed).hex())
        assert (code, "is above the target" in words) == (-32605, True)
        code, words = await client.refused("submitauxblock", unknown, encoded)
        assert (code, f"work with the hash {unknown}" in words) == (-32605, True)
        assert (await client.refused("submitauxblock", offer["hash"], encoded[:-2]))[0] == -32602
        padded = encoded + "00" * IN_PLACE  # decoded in a thread
        code, words = await client.refused("submitauxblock", offer["hash"], padded)
        assert (code, words.startswith("params[1]: ")) == (-32602, True)
        assert (await client.refused("submitauxblock", offer["hash"], "xyz"))[0] == -32602
        assert (await client.refused("submitauxblock", offer["hash"], "00" * 2_000_000))[0] == -32602
        assert (await client.refused("submitauxblock", "00", encoded))[0] == -32602
        assert (await client.refused("submitauxblock", 5, encoded))[0] == -32602


async def test_no_work_while_nothing_waits(autojump_clock: object) -> None:
    world = MiningWorld()
    async with world.running():
        assert (await Client(world).refused("createauxblock", ADDRESS))[0] == -32606


async def test_a_wrong_address_is_explained(autojump_clock: object) -> None:
    world = MiningWorld()
    async with world.running():
        answer = await Client(world).refused("createauxblock", "0x12")
    assert answer == (-32602, "params[0]: an EVM address must have 20 bytes, got 1")


async def test_blocks_are_found_by_height_hash_and_at_the_head(autojump_clock: object) -> None:
    world = MiningWorld()
    first, second = world.blocks_in(1, 3)
    orphan = world.block(2, on=first)
    async with world.running():
        client = Client(world)
        by_height = await client.call("getblockbyheight", 2)
        assert by_height["hash"] == second.hash[::-1].hex()
        assert await client.call("getblockbyhash", by_height["hash"]) == by_height
        assert await client.call("getheadblock") == by_height
        abandoned = await client.call("getblockbyhash", orphan.hash[::-1].hex())
        assert abandoned["confirmations"] == -1
        third = world.block(4)
        assert (await client.call("getheadblock"))["hash"] == third.hash[::-1].hex()
        assert (await client.call("getheadblock"))["confirmations"] == 1


async def test_a_block_says_which_proof_covers_it(autojump_clock: object) -> None:
    """A client that wants to check that work stands behind a block would search the chain for it."""
    world = MiningWorld()
    async with world.running():
        client = Client(world)
        first, *_ = world.blocks_in(1, 2, 3)
        assert (await client.call("getblockbyhash", first.hash[::-1].hex()))["finalizedby"] is None
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        fourth = world.block(4, header=queued.header)
        expected = {"hash": fourth.hash[::-1].hex(), "height": 4, "auxhash": queued.aux_hash[::-1].hex()}
        assert (await client.call("getblockbyhash", first.hash[::-1].hex()))["finalizedby"] == expected
        assert (await client.call("getblockbyheight", 2))["finalizedby"] == expected
        assert (await client.call("getheadblock"))["finalizedby"] is None


async def test_a_final_block_has_a_proof_that_anyone_can_check(autojump_clock: object) -> None:
    """The fields are exactly those from which an outsider recomputes the work."""
    world = MiningWorld()
    async with world.running():
        client = Client(world)
        first, second, third = world.blocks_in(1, 2, 3)
        queued = await world.auxpow.ask(solved(await world.auxpow.ask(CreateWork(MINER))))
        fourth = world.block(4, header=queued.header)
        found = await client.call("getfinalityproof", displayed(first.hash))
        assert found | {"hash": displayed(second.hash)} == await client.call(
            "getfinalityproof", displayed(second.hash)
        )
        refused = await client.refused("getfinalityproof", displayed(third.hash))
    proof = decode_auxpow(bytes.fromhex(found["auxpow"]))
    parent, bits = found["parentheader"], queued.header.bits
    assert proof == queued.header.auxpow
    assert found == {
        "hash": displayed(first.hash),
        "blocks": [displayed(first.hash), displayed(second.hash)],
        "rangestart": displayed(first.hash),
        "rangeend": displayed(second.hash),
        "bits": f"{bits:08x}",
        "target": target_of(bits).to_bytes(32, "little").hex(),
        "chainid": CHAIN_ID,
        "feerecipient": ADDRESS,
        "auxpow": encode_auxpow(proof).hex(),
        "parentblockhash": displayed(proof.parent.hash),
        "parentheader": {
            "hash": displayed(proof.parent.hash),
            "version": proof.parent.version,
            "previousblockhash": displayed(proof.parent.previous),
            "merkleroot": displayed(proof.parent.merkle_root),
            "time": proof.parent.time,
            "bits": f"{proof.parent.bits:08x}",
            "nonce": proof.parent.nonce,
        },
        "finalizedby": {"hash": displayed(fourth.hash), "height": 4, "auxhash": displayed(queued.aux_hash)},
    }
    assert (parent["hash"], int(parent["hash"], 16) <= target_of(bits)) == (found["parentblockhash"], True)
    assert (refused[0], "at height 3 is not final: the last final block has height 2" in refused[1]) == (
        -32606,
        True,
    )


async def test_evidence_is_shown_with_the_keys_and_in_a_form_to_check(autojump_clock: object) -> None:
    """Nobody could prove to others that a member has lied."""
    world = MiningWorld()
    async with world.running():
        client = Client(world)
        assert await client.call("getevidence") == []
        kept = evidence(7, 0, 2)
        world.evidence.append(kept)
        (shown,) = await client.call("getevidence")
    assert decode_evidence(bytes.fromhex(shown["encoded"])) == kept
    assert (shown["offence"], [block["slot"] for block in shown["blocks"]]) == ("two blocks of one slot", [7, 7])
    assert [block["hash"] for block in shown["blocks"]] == [
        displayed(approved.block.hash) for approved in (kept.first, kept.second)
    ]
    assert shown["blocks"][0]["previousslot"] is None
    keys = world.spec.authorities
    assert shown["authorities"] == [{"index": index, "key": "0x" + keys[index].hex()} for index in (0, 2)]


async def test_the_genesis_block_has_no_proof_of_finality(autojump_clock: object) -> None:
    """A refusal that says to wait would let a client ask for ever."""
    world = MiningWorld()
    genesis = ChainHand.of(chain_spec()).genesis
    world.blocks[genesis.hash] = genesis
    async with world.running():
        code, words = await Client(world).refused("getfinalityproof", displayed(genesis.hash))
    assert (code, "is the genesis block, which no proof of work covers" in words) == (-32605, True)


@pytest.mark.parametrize(
    ("method", "param"),
    [("getblockbyheight", 99), ("getblockbyhash", "77" * 32), ("getfinalityproof", "77" * 32)],
)
async def test_a_block_that_is_not_there_has_its_own_code(method: str, param: Any, autojump_clock: object) -> None:
    world = MiningWorld()
    world.blocks_in(1)
    async with world.running():
        code, words = await Client(world).refused(method, param)
    assert (code, words.startswith("block not found")) == (-32604, True)


@pytest.mark.parametrize("height", [-1, 1.5, "1", True, 2**63, None])
async def test_what_is_no_height_is_refused(height: Any, autojump_clock: object) -> None:
    world = MiningWorld()
    async with world.running():
        assert (await Client(world).refused("getblockbyheight", height))[0] == -32602


async def test_a_halted_peg_shows_no_deposit_address(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bitcoin sent there would wait for an unknown time."""
    with_peg = {"alloc": {"0x" + BRIDGE_ADDRESS.hex(): bridge_account(peg=True)}}
    world = MiningWorld(make_spec(execution_genesis=with_peg))

    def halted(_state: ChainState) -> bool:
        return True

    monkeypatch.setattr(alys_rpc, "halted_at", halted)
    async with world.running():
        code, words = await Client(world).refused("getdepositaddress")
    assert (code, words.startswith("governance has halted the peg: send no bitcoin")) == (RpcCode.REFUSED, True)


async def test_the_deposit_address_is_the_federations(autojump_clock: object) -> None:
    """Bitcoin sent to another address is lost."""
    keys = tuple(bytes.fromhex(key) for key in (
        "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
        "2f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
    ))  # fmt: skip
    with_peg = {"alloc": {"0x" + BRIDGE_ADDRESS.hex(): bridge_account(peg=True)}}
    spec = make_spec(federation_bitcoin_keys=keys, execution_genesis=with_peg)
    world = MiningWorld(spec)
    async with world.running():
        found = await Client(world).call("getdepositaddress")
        recipient = "0x2992504C5C8fe1995c84EA5e98aaB0A146bBd472"
        named = await Client(world).call("getdepositaddress", recipient)
        assert (await Client(world).refused("getdepositaddress", "0x12"))[0] == -32602
        for lost in (bytes(20), BRIDGE_ADDRESS):
            code, words = await Client(world).refused("getdepositaddress", "0x" + lost.hex())
            assert (code, "name the account that gets the BTC" in words) == (-32602, True)
    assert found["address"].startswith("bcrt1p")
    assert len(found["address"]) == 64
    assert found | {"address": ""} == {
        "address": "",
        "network": "regtest",
        "minimum": spec.peg_in_minimum,
        "confirmations": spec.peg_in_confirmations,
    }
    data = recipient[2:].lower()
    assert named == found | {"recipient": recipient, "data": data, "script": f"6a14{data}"}


async def test_a_chain_without_a_peg_has_no_deposit_address(autojump_clock: object) -> None:
    """Nothing that is sent there would be credited."""
    code, words = await Client(MiningWorld()).refused("getdepositaddress")
    assert (code, words) == (
        -32605,
        "the chain test has no peg: do not send bitcoin to its federation, because nothing is credited",
    )


async def test_an_actor_that_is_down_is_an_internal_error_with_words(autojump_clock: object) -> None:
    """A pool would take a restarting node for one that refuses its work."""
    world = MiningWorld()
    code, words = await Client(world).refused("getqueuedpow")
    assert (code, "auxpow" in words) == (-32603, True)


def test_every_method_and_code_is_documented() -> None:
    """A pool's programmer has nothing else to go by."""
    text = (Path(__file__).parents[2] / "docs" / "json-rpc.md").read_text()
    world = MiningWorld()
    rpc = AlysRpc(
        world.reader, lambda: world.commits, world.auxpow, context_of(world.spec), Latest(None), world.timing
    )
    assert [name for name in rpc.methods() if f"`{name} [" not in text] == []
    assert [code for code in CODES.values() if f"−{-code}" not in text] == []


async def test_asks_of_clients_wait_outside_the_mailboxes_of_the_actors(autojump_clock: object) -> None:
    """Block production asks the same actors. It missed slots behind the asks of 256 clients."""
    world = MiningWorld()
    world.blocks_in(1)
    deepest = 0

    async def watch() -> None:
        nonlocal deepest
        while True:
            deepest = max(deepest, *(len(at.mailbox) for at in (world.chain, world.reader, world.auxpow)))
            await trio.lowlevel.checkpoint()

    async with world.running(), trio.open_nursery() as clients:
        client = Client(world)
        clients.start_soon(watch)
        async with trio.open_nursery() as asking:
            for method in ("getheadblock", "getqueuedpow") * 50:
                asking.start_soon(client.call, method)
            asking.start_soon(client.call, "getblockbyheight", 1)
        clients.cancel_scope.cancel()
    assert 0 < deepest <= ASKS + 1, "the auxpow actor asks the chain actor, one ask at a time"
