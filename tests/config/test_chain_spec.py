"""Chain specifications: the values read from them, and the refusal of chains that cannot run."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.config.bridge import bridge_account
from alysd.config.chain_spec import check_genesis, load_chain_files, load_chain_spec
from alysd.errors import ConfigError
from alysd.integrations.key_kinds import public_text
from alysd.testing.chain import chain_spec
from alysd.testing.config_files import CHAIN, CONF, GENESIS, folder_with, problems_of
from alysd.types.chain_spec import ChainParameters, ChainSpec
from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.block_ssz import MAX_TRANSACTIONS


def refusal(tmp_path: Path, chain: str = CHAIN, genesis: object = GENESIS) -> list[str]:
    """The problems of a chain with these files, without the folder of the files."""
    folder_with(tmp_path, chain=chain)
    text = genesis if isinstance(genesis, str) else json.dumps(genesis)
    (tmp_path / "genesis.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_chain_spec(tmp_path / "chain.toml")
    return [text.replace(str(tmp_path) + "/", "") for text in problems_of(caught.value)]


def test_a_chain_is_read_with_the_protocols_defaults(tmp_path: Path) -> None:
    """Two nodes with the same file would run different rules."""
    folder_with(tmp_path)
    spec = load_chain_spec(tmp_path / "chain.toml")
    assert spec.name == "test-chain"
    assert spec.authorities == (b"\xa1" * 48,)
    assert spec.execution_genesis == GENESIS
    assert (spec.slot_seconds, spec.auxpow_spacing_slots, spec.max_withdrawals) == (2, 30, 16)
    assert (spec.peg_in_confirmations, spec.max_blocks_without_auxpow) == (6, 10_000)


def test_bootnodes_are_no_parameter(tmp_path: Path) -> None:
    """A member with a new address would be a new chain, or a newcomer would find no peer."""
    folder_with(tmp_path)
    without = load_chain_files(tmp_path / "chain.toml")
    assert without.bootnodes == ()
    addresses = [
        f"/{kind}/{host}/tcp/9333/p2p/{public_text('network', bytes([number] * 32))}"
        for number, (kind, host) in enumerate((("dns", "a.example.org"), ("ip4", "192.0.2.7")), 1)
    ]
    folder_with(tmp_path, chain=f"{CHAIN}bootnodes = {json.dumps(addresses)}\n")
    found = load_chain_files(tmp_path / "chain.toml")
    assert [str(peer) for peer in found.bootnodes] == addresses
    assert found.spec == without.spec
    (problem,) = refusal(tmp_path, chain=f'{CHAIN}bootnodes = ["a.example.org:9333"]\n')
    assert problem.startswith("chain.toml:13: bootnodes = ['a.example.org:9333']: item 0: must be a multiaddress")


def test_the_development_chain_is_as_documented() -> None:
    """Tools that know chain id 121212, and the internal miner's pace, would break."""
    spec = load_chain_spec(CONF / "chains" / "dev.toml")
    assert (spec.name, spec.chain_id, spec.slot_seconds, spec.auxpow_spacing_slots) == ("alys-dev", 121212, 2, 10)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            '"test-chain"',
            '"Test chain"',
            'chain.toml:1: name = "Test chain": must be 1 to 32 characters of a-z, 0-9 and -',
        ),
        ("4242", "0", "chain.toml:2: chain_id = 0: must be a whole number from 1 to 4294967295"),
        ("4242", "4294967296", "chain_id = 4294967296: must be a whole number from 1"),
        ("4242", "8192", "chain_id = 8192: must not be 8192 to 16383 (0x2000 to 0x3fff)"),
        ("4242", "16383", "chain_id = 16383: must not be 8192 to 16383"),
        ("0x" + "a1" * 48, "0x" + "a1" * 47, "item 0: must be a BLS public key: 48 bytes in hex"),
        ('["0x' + "a1" * 48 + '"]', "[]", "authorities = []: must have at least one entry"),
        (
            '["0x' + "a1" * 48 + '"]',
            '["0x' + "a1" * 48 + '", "0x' + "a1" * 48 + '"]',
            "contains an entry twice",
        ),
        (
            '["0x' + "a1" * 48 + '"]',
            json.dumps([f"0x{number:096x}" for number in range(1025)]),
            "must have at most 1024 entries",
        ),
        (
            '["0x' + "a2" * 96 + '"]',
            "[]",
            "authority_proofs = []: must have 1 entries, one per authority and in their order",
        ),
        ('["0x' + "a3" * 64 + '"]', "[]", "federation_bitcoin_proofs = []: must have 1 entries"),
        (
            '["0x23d797ca7da531d757b6d25243207bdb74cce07b1cb022388b5e6d50327bf8de"]',
            json.dumps([f"0x{number:064x}" for number in range(2)]),
            "must have 1 entries, one per authority",
        ),
        ("0x405C", "0x405c", "EIP-55"),
        ("23d797ca", "23d797", "item 0: must be an x-only Bitcoin public key: 32 bytes in hex"),
        ('"regtest"', '"testnet4"', 'must be one of "mainnet", "testnet", "signet", "regtest"'),
        ("peg_in_minimum = 100_000", "peg_in_minimum = 0", "peg_in_minimum = 0: must be a whole number from 1"),
        ("pow_limit = 0x207fffff", "pow_limit = 0x20800000", "pow_limit = 545259520: must be a compact target"),
        ("\nbits = 0x207fffff", "\nbits = 0", "bits = 0: must be a compact target"),
        (
            "pow_limit = 0x207fffff",
            "pow_limit = 0x1d00ffff",
            "its target must not be above that of pow_limit (0x1d00ffff)",
        ),
        ("bits = ", "bitz = ", "bitz is not a known key: did you mean bits?"),
        (
            "peg_out_minimum = 100_000",
            "peg_out_minimum = 5\npeg_out_service_fee = 5",
            "must exceed peg_out_service",
        ),
        (
            "peg_out_minimum = 100_000",
            "peg_out_minimum = 5\npeg_out_max_fee_rate = 1_000",
            "must not exceed peg_out_max_fee_rate",
        ),
        ("chain_id = 4242", "chain_id = 4242\nmax_withdrawals = 1", "must exceed the number of fee addresses"),
        (
            "chain_id = 4242",
            "chain_id = 4242\nslot_seconds = 0",
            "slot_seconds = 0: must be a whole number from 1 to 60",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    """A chain would start that cannot run, or that another node reads otherwise."""
    assert old in CHAIN
    assert words in "\n".join(refusal(tmp_path, CHAIN.replace(old, new, 1)))


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    """A chain would get a parameter that nobody chose."""
    found = refusal(tmp_path, CHAIN.replace("chain_id = 4242\n", ""))
    assert found == ["chain.toml: chain_id is missing: it has no default and must be set"]


def genesis(**changes: Any) -> dict[str, Any]:
    """The genesis of the tests with other top-level keys."""
    return {**GENESIS, **changes}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "genesis.json: not valid JSON"),
        ("[" * 5_000, "genesis.json: not valid JSON"),
        ("[]", "genesis.json: the execution genesis must be a JSON object"),
        (genesis(config={"chainId": 1}), "config.chainId is 1, but chain test-chain has chain_id 4242"),
        (genesis(config=3), "config.chainId is None"),
        (genesis(alloc={}), "no contract code at 0xbbbb"),
        (genesis(alloc=[]), "no contract code at 0xbbbb"),
        (genesis(alloc={"0x" + "bb" * 20: {"balance": "0x1"}}), "no contract code"),
    ],
)
def test_a_genesis_of_another_chain_or_none_is_refused(tmp_path: Path, document: object, words: str) -> None:
    """The node would compute a genesis that nobody else has, or lock money without a way out."""
    (found,) = refusal(tmp_path, genesis=document)
    assert words in found


@pytest.mark.parametrize("form", [hex(40_000_000), "0X2625A00", 40_000_000, "40000000"])
def test_a_gas_limit_that_pays_for_more_bytes_than_a_block_may_have_is_refused(
    form: str | int, tmp_path: Path
) -> None:
    """One sender of cheap bytes could make every block too large for the chain's own rule, and stop it."""
    genesis = {**GENESIS, "gasLimit": form}
    (words,) = refusal(tmp_path, genesis=genesis)
    assert words == (
        "genesis.json: gasLimit 40,000,000 allows blocks of 10,393,216 bytes, but max_block_bytes of test-chain "
        "is 8,388,608: lower gasLimit or raise max_block_bytes"
    )


def peg_spec(members: int = 1, **changes: Any) -> ChainSpec:
    genesis = {**GENESIS, "alloc": {"0x" + BRIDGE_ADDRESS.hex(): bridge_account(peg=True)}, "gasLimit": "0x1"}
    keys = tuple(BlsPublicKey(bytes([place]) * 48) for place in range(members))
    rates = {"peg_out_max_fee_rate": 50_000, **changes}
    return chain_spec(keys, execution_genesis=genesis, **rates)


@pytest.mark.parametrize("network", ["mainnet", "regtest"])
def test_parameters_of_a_peg_that_are_enough(network: str) -> None:
    check_genesis(peg_spec(20, bitcoin_network=network), Path("genesis.json"))
    check_genesis(peg_spec(bitcoin_network="regtest", peg_in_confirmations=1), Path("genesis.json"))
    addresses = tuple(EvmAddress(bytes([place]) * 20) for place in range(13))
    check_genesis(peg_spec(federation_fee_addresses=addresses), Path("genesis.json"))


@pytest.mark.parametrize(
    ("members", "changes", "words"),
    [
        (21, {}, "has a peg and 21 authorities; with a peg there are at most 20"),
        (1, {"bitcoin_network": "mainnet", "peg_in_confirmations": 5}, "confirmations 5; it must be at least 6"),
        (1, {"max_withdrawals": 3}, "max_withdrawals 3; with 1 fee addresses it must be at least 4"),
        (1, {"peg_in_minimum": 13_225}, "peg_in_minimum 13,225; with 1 members and peg_out_max_fee_rate 50,000"),
        (1, {"peg_out_minimum": 13_230, "peg_out_service_fee": 5}, "peg_out_minimum 13,230; .* least 13,231"),
        (20, {"peg_out_max_fee_rate": 500_000}, "peg_in_minimum 100,000; .* least 499,126"),
    ],
)
def test_a_peg_that_could_lose_bitcoin_or_get_stuck_is_refused(
    members: int, changes: dict[str, Any], words: str
) -> None:
    """Witnesses that are not relayed, deposits that Bitcoin loses, and requests that no fee leaves anything of."""
    with pytest.raises(ConfigError, match=words):
        check_genesis(peg_spec(members, **changes), Path("genesis.json"))


def test_the_gas_limit_of_any_chain_fits_the_number_of_transactions_in_a_block() -> None:
    """The author's client must not build a payload that no node accepts. A transaction uses 16,800 gas."""
    (largest,) = (
        field.metadata["between"][1] for field in attrs.fields(ChainParameters) if field.name == "max_block_bytes"
    )
    assert 4 * largest / 16_800 <= MAX_TRANSACTIONS
