"""Executing a block gives exactly what the specification gives on its own state: roots, gas, receipts, and no."""

import contextlib
import tempfile
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.embedded.engine.specification import EthereumException, blocks, rlp
from alysd.types.hashes import EvmAddress
from alysd.types.verdict import Valid
from alysd.wire.execution_header import block_hash_of
from tests.embedded.engine.kit import (
    BEACON_ROOTS,
    COUNTER,
    ETHER,
    GWEI,
    OTHER,
    REVERTER,
    RICH,
    SPLITTER,
    THIRD,
    Sandbox,
    genesis,
    minted,
    transfer,
)
from tests.embedded.engine.stock import StockChain
from tests.thorough import cases

BEACON = b"\xbe" * 32
FRESH = b"\xfe" * 20
IDENTITY, ECRECOVER, SHA256 = (bytes(19) + bytes((n,)) for n in (4, 1, 2))


def push(value: bytes) -> bytes:
    return bytes((0x5F + len(value),)) + value


def factory(inner: bytes) -> bytes:
    """Init code that runs CREATE2 with `inner` as init code twice, with the same salt: the second collides."""
    store = b"".join(
        push(inner[at : at + 32].ljust(32, b"\0")) + push(bytes((at,))) + b"\x52"
        for at in range(0, len(inner), 32)
    )
    create = push(b"\x07") + push(bytes((len(inner),))) + push(b"\0") + push(b"\0") + b"\xf5\x50"
    return store + create + create


INIT_CODES = {
    "nothing": b"",
    "a contract": bytes.fromhex("600160005560026001556001600c60003960016000f3") + b"\x00",
    "destroys itself": bytes.fromhex("6001600055") + push(OTHER.address) + b"\xff",
    "destroys itself to itself": bytes.fromhex("30ff"),
    "reverts": bytes.fromhex("600160005560006000fd"),
    "runs out of gas": bytes.fromhex("5b60ff60002050600056"),  # hashes, which cost more gas than time
    "forbidden code": bytes.fromhex("60ef60005360016000f3"),
    "factory": factory(bytes.fromhex("600160005560016000f3")),
    "factory of one that destroys itself": factory(bytes.fromhex("600160005533ff")),
    "transient storage": bytes.fromhex("600160005d60005c60005500"),
    "block hash": bytes.fromhex("43600190034060005500"),
    "calls a contract that reverts": bytes.fromhex("600080808080")
    + push(REVERTER)
    + bytes.fromhex("5af160005500"),
    "delegates to the counter": bytes.fromhex("60008080") + b"\x80" + push(COUNTER) + bytes.fromhex("5af45000"),
}

signers = st.sampled_from((RICH, OTHER, THIRD))
targets = st.sampled_from(
    (COUNTER, REVERTER, SPLITTER, BEACON_ROOTS, FRESH, IDENTITY, ECRECOVER, SHA256, RICH.address, OTHER.address)
)
words = st.integers(0, 3).map(lambda n: n.to_bytes(32, "big"))
calls = st.fixed_dictionaries(
    {
        "to": targets,
        "value": st.sampled_from((0, 0, 1, ETHER)),
        "gas": st.sampled_from((21_000, 30_000, 60_000, 200_000)),
        "data": st.one_of(st.binary(max_size=70), st.tuples(words, words).map(b"".join)),
        "kind": st.integers(0, 2),
        "tip": st.sampled_from((0, GWEI)),
    }
)
creations = st.fixed_dictionaries(
    {
        "to": st.none(),
        "value": st.sampled_from((0, 5)),
        "gas": st.sampled_from((60_000, 300_000)),
        "data": st.sampled_from(tuple(INIT_CODES.values())),
        "kind": st.integers(0, 2),
    }
)
listed = st.lists(st.tuples(targets, st.lists(words, max_size=2)), max_size=2)
steps = st.tuples(signers, st.one_of(calls, creations), listed)
withdrawals = st.lists(
    st.builds(minted, st.sampled_from((FRESH, b"\x66" * 20, COUNTER)), st.integers(0, 5)), max_size=2
)
histories = st.lists(st.tuples(st.lists(steps, max_size=5), withdrawals), min_size=1, max_size=4)


def encode(history: Any) -> list[tuple[list[bytes], Any]]:
    """Sign the transactions, each sender's nonces counting from zero over all blocks."""
    nonces = {signer.key: 0 for signer in (RICH, OTHER, THIRD)}
    blocks_to_make: list[tuple[list[bytes], Any]] = []
    for transactions, paid in history:
        raw: list[bytes] = []
        for signer, fields, access_list in transactions:
            options = dict(fields, access_list=access_list if fields["kind"] else ())
            raw.append(transfer(signer, nonces[signer.key], **options))
            nonces[signer.key] += 1
        blocks_to_make.append((raw, paid))
    return blocks_to_make


@settings(max_examples=cases(12, 40), deadline=None)
@given(histories)
def test_random_blocks_agree_with_the_specification_and_a_second_engine(history: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sandbox, second = Sandbox.open(Path(folder, "a")), Sandbox.open(Path(folder, "b"))
        stock = StockChain(genesis())
        for raw, paid in encode(history):
            payload = sandbox.build(*raw, withdrawals=paid)
            stock.add(payload, BEACON)
            assert payload.state_root == stock.state_root
            assert second.give(payload) == sandbox.give(payload) == Valid()
            sandbox.follow(payload.block_hash)
            second.follow(payload.block_hash)
        for one in (sandbox, second):
            one.chain.close()


@settings(max_examples=cases(12, 40), deadline=None)
@given(st.lists(st.tuples(signers, calls, st.integers(0, 2), st.sampled_from((None, 8))), min_size=1, max_size=3))
def test_what_the_specification_refuses_is_invalid_and_the_reverse(transactions: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox.open(Path(folder))
        raw = tuple(
            transfer(signer, nonce, **{**fields, **({} if chain is None else {"chain_id": chain})})
            for signer, fields, nonce, chain in transactions
        )
        pieces = sandbox.build(*(one for one, (*_, chain) in zip(raw, transactions, strict=True) if chain is None))
        claimed = attrs.evolve(pieces, transactions=raw)
        claimed = attrs.evolve(claimed, block_hash=block_hash_of(claimed, BEACON))  # type: ignore[arg-type]
        accepted = False
        with contextlib.suppress(EthereumException, ValueError, OverflowError, AssertionError):
            StockChain(genesis()).add(claimed, BEACON)
            accepted = True
        assert (sandbox.give(claimed) == Valid()) == accepted
        sandbox.chain.close()


@pytest.mark.parametrize("name", INIT_CODES)
def test_every_kind_of_creation_agrees_with_the_specification(
    name: str, sandbox: Sandbox, second: Sandbox
) -> None:
    stock = StockChain(genesis())
    sandbox_blocks = [
        (transfer(RICH, 0, to=None, data=INIT_CODES[name], gas=300_000, value=5),),
        (
            transfer(RICH, 1, to=None, data=INIT_CODES[name], gas=300_000),
            transfer(OTHER, 0, to=COUNTER, gas=90_000),
        ),
    ]
    for raw in sandbox_blocks:
        payload = sandbox.make(*raw)
        stock.add(payload, BEACON)
        assert second.give(payload) == Valid()


def test_storage_set_and_cleared_again_leaves_no_trace(sandbox: Sandbox, second: Sandbox) -> None:
    """Deleting collapses branches of the storage's trie: the root must be the one from before."""
    stock = StockChain(genesis())
    roots: list[bytes] = []
    for nonce, (slot, value) in enumerate(((1, 5), (2, 6), (2, 0), (1, 0))):
        data = slot.to_bytes(32, "big") + value.to_bytes(32, "big")
        payload = sandbox.make(transfer(RICH, nonce, to=SPLITTER, data=data, gas=60_000, value=0))
        stock.add(payload, BEACON)
        assert second.give(payload) == Valid()
        roots.append(sandbox.chain.reader.account(sandbox.head, SPLITTER).storage_root)
    assert roots[0] == roots[2]
    assert (
        roots[3]
        == sandbox.chain.reader.account(
            sandbox.chain.reader.needed_header(sandbox.chain.genesis), SPLITTER
        ).storage_root
    )


def test_calls_nest_as_deep_as_the_protocol_allows(tmp_path: Path) -> None:
    """A contract that calls itself to the depth of 1,024, in a worker thread: Python's stack must hold."""
    recursive = EvmAddress(b"\xd1" * 20)
    code = "0x" + "6000600060006000600030" + "5af1" + "600054600101600055" + "00"
    deep = genesis(**{f"0x{recursive.hex()}": {"nonce": "0x1", "code": code}})
    deep |= {"gasLimit": hex(2**50), "baseFeePerGas": "0x7"}
    sandbox = Sandbox.open(tmp_path, deep)
    results: list[str] = []

    def run() -> None:
        payload = sandbox.make(transfer(RICH, 0, to=recursive, gas=2**48, value=0, max_fee=10, tip=0))
        results.append(payload.state_root.hex())

    worker = threading.Thread(target=run)
    worker.start()
    worker.join()
    calls = int.from_bytes(sandbox.chain.reader.storage(sandbox.head, recursive, 0), "big")
    assert results
    assert calls == 1025
    sandbox.chain.close()


def test_the_size_of_a_block_is_that_of_its_rlp(sandbox: Sandbox) -> None:
    payload = sandbox.make(
        *(transfer(RICH, n, kind=n % 3, data=bytes(n), gas=30_000) for n in range(9)),
        withdrawals=[minted(FRESH, 1)],
    )
    block = sandbox.chain.reader.block(payload.block_hash)
    assert block is not None
    assert block.size == len(rlp.encode(StockChain.block(payload, BEACON)))
    assert isinstance(StockChain.block(payload, BEACON), blocks.Block)
