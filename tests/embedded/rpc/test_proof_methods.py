"""eth_getProof and eth_createAccessList: proofs lead to the state root, and lists name what is used."""

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from alysd.api.jsonrpc import Params
from alysd.embedded.engine.trie_state import decode_account
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.proof_methods import ProofMethods
from alysd.wire.keccak import keccak256
from alysd.wire.trie import get_from_trie
from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, box, eth_chain, selector

SET = selector("set(uint256,string)") + f"{9:064x}{64:064x}{0:064x}"


def proven(root: bytes, key: bytes, proof: list[str]) -> bytes | None:
    """The value of a key in a trie of which only the nodes of the proof are known."""
    nodes = {keccak256(node): node for node in (bytes.fromhex(one[2:]) for one in proof)}
    return get_from_trie(root, keccak256(key), nodes.__getitem__)


async def test_a_proof_leads_from_the_state_root_to_account_and_slots(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        root = bytes.fromhex((await chain.rpc("eth_getHeaderByNumber", "latest"))["stateRoot"][2:])
        found = await chain.rpc("eth_getProof", to, ["0x0", f"0x{5:064x}"], "latest")
        record = proven(root, bytes.fromhex(to[2:]), found["accountProof"])
        assert record is not None
        account = decode_account(record, to)
        assert found["storageHash"] == "0x" + account.storage_root.hex()
        assert found["codeHash"] == "0x" + account.code_hash.hex()
        first, second = found["storageProof"]
        assert (first["key"], first["value"]) == ("0x0", "0x5")
        assert proven(account.storage_root, bytes(32), first["proof"]) == b"\x05"
        assert (second["key"], second["value"]) == (f"0x{5:064x}", "0x0")
        assert proven(account.storage_root, (5).to_bytes(32, "big"), second["proof"]) is None
        nobody = await chain.rpc("eth_getProof", NOBODY, ["0x1"])
        assert proven(root, bytes.fromhex(NOBODY[2:]), nobody["accountProof"]) is None
        assert nobody["storageProof"] == [{"key": "0x1", "value": "0x0", "proof": []}]
        assert nobody["codeHash"] == nobody["storageHash"] == "0x" + "00" * 32
        with pytest.raises(RpcFailure, match=r"too many storage keys requested \(max 1024, got 1025\)"):
            await chain.rpc("eth_getProof", to, ["0x0"] * 1025)
        with pytest.raises(RpcFailure, match=r"^-32602: params\[1\]: must be an array"):
            await chain.rpc("eth_getProof", to, "0x0")
        with pytest.raises(RpcFailure, match="header not found"):
            await chain.rpc("eth_getProof", to, [], "0x99")


async def test_an_access_list_names_what_a_message_uses(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        call: dict[str, Any] = {"from": RICH.address, "to": to, "data": SET}
        found = await chain.rpc("eth_createAccessList", call)
        assert found["accessList"] == [{"address": to, "storageKeys": [f"0x{0:064x}"]}]
        assert "error" not in found
        again = await chain.rpc("eth_createAccessList", {**call, "accessList": found["accessList"]}, "latest")
        assert again == found
        failed = await chain.rpc("eth_createAccessList", {"to": to, "data": selector("refuse()")})
        assert failed["error"] == "execution reverted"
        code = {NOBODY: {"code": "0x73" + "ab" * 20 + "31600154"}}
        overridden = await chain.rpc("eth_createAccessList", {"to": NOBODY}, "latest", code)
        assert overridden["accessList"] == [
            {"address": NOBODY, "storageKeys": [f"0x{1:064x}"]},
            {"address": "0x" + "ab" * 20, "storageKeys": []},
        ]
        with pytest.raises(RpcFailure, match="failed to apply transaction: intrinsic gas too low: have 5"):
            await chain.rpc("eth_createAccessList", {**call, "gas": "0x5"})


async def test_a_list_that_never_settles_ends_in_time(tmp_path: Path) -> None:
    """The inner contract reads a slot whose number is the gas left, which its list changes."""
    async with eth_chain(tmp_path, RpcLimits(call_seconds=0.2)) as chain:
        inner = "0x" + "ab" * 20
        code = {NOBODY: {"code": f"0x5f5f5f5f5f73{inner[2:]}5af1"}, inner: {"code": "0x5a54"}}
        with pytest.raises(RpcFailure, match=r"^-32000: execution aborted \(timeout = 0.2s\)$"):
            await chain.rpc("eth_createAccessList", {"to": NOBODY}, "latest", code)


@pytest.mark.parametrize("method", ["eth_getProof", "eth_createAccessList"])
async def test_large_parameters_are_decoded_in_a_thread(tmp_path: Path, method: str) -> None:
    """An access list can have 70,000 keys, whose decoding held the event loop."""
    async with eth_chain(tmp_path) as chain:
        threads = trio.CapacityLimiter(1)
        values = (NOBODY, ["0x0"]) if method == "eth_getProof" else ({"to": NOBODY},)
        ask = ProofMethods(EthBackend(chain.engine, chain.pool)).table()[method].call
        async with trio.open_nursery() as nursery, threads:
            nursery.start_soon(ask, Params(values, threads))
            await wait_all_tasks_blocked()
            assert threads.statistics().tasks_waiting == 1, "it waits for the thread"
