"""Which chain and which program this is."""

from typing import Any

from alysd import __version__
from alysd.api.params import Params
from alysd.embedded.rpc.identity import IdentityMethods


async def ask(method: str, *params: Any) -> Any:
    return await IdentityMethods(121212).table()[method].call(Params(params))


async def test_the_chain_is_named_in_hex_and_the_network_in_decimal() -> None:
    """Libraries compare the two: 121212 in both, written as each method's readers expect."""
    assert (await ask("eth_chainId"), await ask("net_version")) == ("0x1d97c", "121212")


async def test_the_program_names_itself_and_its_version() -> None:
    name, version, system, language = (await ask("web3_clientVersion")).split("/")
    assert (name, version) == ("alysd", f"v{__version__}")
    assert system.startswith("linux")
    assert language.startswith("python3.")


async def test_the_engine_has_no_network_of_its_own() -> None:
    assert await ask("eth_syncing") is False
    assert await ask("net_listening") is False
    assert await ask("net_peerCount") == "0x0"


async def test_data_is_hashed_with_keccak() -> None:
    empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert await ask("web3_sha3", "0x") == empty
