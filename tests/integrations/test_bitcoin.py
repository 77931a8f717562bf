"""The Bitcoin client: what it asks, and what it makes of the answers. Against a real node: tests/integration."""

from pathlib import Path
from typing import Any

import pytest

from alysd.errors import BitcoinUnavailable, ComponentError, UserError
from alysd.integrations.bitcoin import BitcoinRpc, cookie_credentials, password_credentials
from alysd.testing.http_server import Reply, Server, refusal, result, serving
from alysd.types.hashes import BitcoinHash
from tests.wire.samples import HASH, TEMPLATE_JSON

SCRIPT = "0014" + "00" * 20


def answering(**replies: Any) -> Any:
    """A server with a fixed reply a method."""

    async def answer(request: dict[str, Any]) -> Reply:
        reply = replies[request["method"]]
        return reply if isinstance(reply, Reply) else result(reply)

    return serving(answer)


def last(server: Server) -> tuple[str, list[Any]]:
    return server.requests[-1]["method"], server.requests[-1]["params"]


async def test_templates_are_asked_for_with_segwit() -> None:
    """Bitcoin Core refuses the call without the rule."""
    async with answering(getblocktemplate=TEMPLATE_JSON) as server, BitcoinRpc(server.url) as bitcoin:
        assert (await bitcoin.block_template()).height == TEMPLATE_JSON["height"]
        assert last(server) == ("getblocktemplate", [{"rules": ["segwit"]}])


async def test_a_template_that_makes_no_sense_counts_as_no_answer() -> None:
    async with answering(getblocktemplate={"version": 1}) as server, BitcoinRpc(server.url) as bitcoin:
        with pytest.raises(BitcoinUnavailable, match="nonsense"):
            await bitcoin.block_template()


async def test_an_accepted_block_is_quiet_and_a_refused_one_gives_its_reason() -> None:
    """`submitblock` succeeds with null and fails with a string, both as results: a refusal would go unseen."""
    async with answering(submitblock=None) as server, BitcoinRpc(server.url) as bitcoin:
        await bitcoin.submit_block(b"\x01\x02")
        assert last(server) == ("submitblock", ["0102"])
    async with answering(submitblock="bad-txnmrklroot") as server, BitcoinRpc(server.url) as bitcoin:
        with pytest.raises(ComponentError, match="bad-txnmrklroot"):
            await bitcoin.submit_block(b"\x01\x02")


async def test_waiting_for_a_block_names_the_one_that_is_known() -> None:
    """Without it a block that comes before the call would be waited past."""
    tip = BitcoinHash(bytes(31) + b"\x01")
    async with answering(waitfornewblock={"hash": HASH, "height": 1}) as server, BitcoinRpc(server.url) as bitcoin:
        assert await bitcoin.wait_for_new_block(tip, 1.5) == b"\x0a" + bytes(31)
        assert last(server) == ("waitfornewblock", [1500, "01" + "00" * 31])
        await bitcoin.wait_for_new_block(tip, 0.0)
        assert last(server)[1][0] == 1  # 0 would wait for ever


async def test_chain_information() -> None:
    answer = {"chain": "regtest", "blocks": 7, "bestblockhash": HASH, "initialblockdownload": True}
    async with answering(getblockchaininfo=answer) as server, BitcoinRpc(server.url) as bitcoin:
        info = await bitcoin.chain_info()
    assert (info.network, info.height, info.initial_download) == ("regtest", 7, True)


async def test_a_named_address_needs_no_wallet_and_none_takes_a_new_one() -> None:
    valid = {"isvalid": True, "scriptPubKey": SCRIPT}
    async with (
        answering(validateaddress=valid, getnewaddress="bcrt1new") as server,
        BitcoinRpc(server.url) as bitcoin,
    ):
        assert await bitcoin.payout_script("bcrt1mine") == bytes.fromhex(SCRIPT)
        assert [request["method"] for request in server.requests] == ["validateaddress"]
        await bitcoin.payout_script(None)
        assert last(server) == ("validateaddress", ["bcrt1new"])


async def test_a_wrong_address_is_the_users_to_put_right() -> None:
    invalid = {"isvalid": False, "error": "Invalid checksum"}
    async with answering(validateaddress=invalid) as server, BitcoinRpc(server.url) as bitcoin:
        with pytest.raises(UserError, match="'1Wrong': not an address of this network: Invalid checksum"):
            await bitcoin.payout_script("1Wrong")


@pytest.mark.parametrize("code", [-18, -19])
async def test_a_node_without_a_wallet_says_what_to_do(code: int) -> None:
    reply = refusal(code, "No wallet is loaded.")
    async with answering(getnewaddress=reply) as server, BitcoinRpc(server.url) as bitcoin:
        with pytest.raises(UserError, match=r"No wallet is loaded.*name an address to pay"):
            await bitcoin.payout_script(None)


async def test_other_errors_of_the_wallet_are_its_own() -> None:
    reply = refusal(-12, "Keypool ran out")
    async with answering(getnewaddress=reply) as server, BitcoinRpc(server.url) as bitcoin:
        with pytest.raises(ComponentError, match="Keypool ran out"):
            await bitcoin.payout_script(None)


async def test_the_password_is_sent() -> None:
    async with answering(submitblock=None) as server:
        async with BitcoinRpc(server.url, password_credentials("u", "p:x")) as bitcoin:
            await bitcoin.submit_block(b"")
        assert server.authorizations == ["Basic dTpwOng="]


async def test_the_cookie_is_read_anew_for_each_call(tmp_path: Path) -> None:
    """A Bitcoin node that restarts writes another cookie: the miner would be locked out until its own restart."""
    cookie = tmp_path / ".cookie"
    async with answering(submitblock=None) as server:
        async with BitcoinRpc(server.url, cookie_credentials(cookie, server.url)) as bitcoin:
            with pytest.raises(BitcoinUnavailable, match=r"cookie file .*No such file"):
                await bitcoin.submit_block(b"")
            for password in ("one", "two"):
                cookie.write_text(f"__cookie__:{password}\n")
                await bitcoin.submit_block(b"")
        assert len(set(server.authorizations)) == 2
