"""The embedded engine, geth and EthereumJS agree on every payload, whoever of them built it.

Each round one of them builds a block of random transactions, and all judge it; then a block that is wrong in one
place, and all refuse it. A failure prints the seed: `ALYSD_SEED=… pytest …` runs the same transactions again.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from alysd.embedded import AccountReader, EmbeddedEngine, SignedTransaction, read_transaction
from alysd.testing import components
from alysd.testing.components import CHAIN_ID, JWT
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BURN_ADDRESS, BlockHash, PayloadHash, sha256
from alysd.types.units import Wei
from alysd.types.verdict import Invalid, Valid
from alysd.wire.execution_header import block_hash_of
from alysd.wire.receipts import proven_gas
from tests.integration.random_transactions import RandomTransactions
from tests.integration.rival_clients import GENESIS, SENDERS, External, external

pytestmark = pytest.mark.component

ROUNDS = 12
TRANSACTIONS = 25
"""A block: 12 million gas at most, so that all fit, and far below the 200 that EthereumJS does not execute."""


@attrs.define
class GivenTransactions:
    """Offers what it is given, in that order; what the engine refuses fails the test."""

    pending: list[SignedTransaction] = attrs.Factory(list[SignedTransaction])

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        return tuple(self.pending)

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        return ()

    def set_back(self, transaction: SignedTransaction) -> None:
        pytest.fail(f"the embedded engine has too little time for {transaction.hash.hex()}")

    def interrupted(self, transaction: SignedTransaction) -> int:
        pytest.fail(f"no turn was given to {transaction.hash.hex()}")

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        pytest.fail(f"the embedded engine discards {transaction.hash.hex()}: {reason}")


@attrs.frozen
class Embedded:
    """The embedded engine with what it builds from."""

    engine: EmbeddedEngine
    source: GivenTransactions
    name: str = "embedded"

    async def offer(self, transactions: Sequence[bytes]) -> None:
        self.source.pending = [read_transaction(raw, CHAIN_ID) for raw in transactions]


Participant = Embedded | External


@asynccontextmanager
async def embedded(path: Path) -> AsyncGenerator[Embedded]:
    source = GivenTransactions()
    engine = await EmbeddedEngine.open(path, GENESIS, source)
    try:
        yield Embedded(engine, source)
    finally:
        await engine.aclose()


async def agree(
    engines: Sequence[Participant], payload: ExecutionPayload, root: BlockHash, genesis: PayloadHash
) -> None:
    """All judge the payload VALID, follow it, and give the receipts that its receipts root covers."""
    for each in engines:
        verdict = await each.engine.new_payload(payload, root)
        assert verdict == Valid(), f"{each.name} on block {payload.block_number}: {verdict}"
        await each.engine.set_forkchoice(payload.block_hash, genesis, genesis)
        receipts = await each.engine.receipts(payload)
        assert sum(proven_gas(receipts, payload)) == payload.gas_used, each.name


def spoiled(payload: ExecutionPayload, root: BlockHash, random: Random) -> tuple[str, ExecutionPayload]:
    """The payload with one thing wrong, and a hash that is right for it; and which thing."""
    changes: dict[str, Any] = {
        "state_root": sha256(payload.state_root),
        "receipts_root": sha256(payload.receipts_root),
        "logs_bloom": bytes(each ^ 1 for each in payload.logs_bloom),
        "gas_used": payload.gas_used + 1,
        "base_fee_per_gas": Wei(payload.base_fee_per_gas + 1),
        "timestamp": payload.timestamp - 1_000,
        "gas_limit": payload.gas_limit * 2,
        "transactions": payload.transactions[:-1],
        "withdrawals": tuple(attrs.evolve(each, amount=each.amount + 1) for each in payload.withdrawals),
        "excess_blob_gas": payload.excess_blob_gas + 131_072,
    }
    usable = sorted(name for name, value in changes.items() if value != getattr(payload, name))
    name = random.choice(usable)
    wrong = attrs.evolve(payload, **{name: changes[name]})
    return name, attrs.evolve(wrong, block_hash=block_hash_of(wrong, root))


async def run_rounds(engines: Sequence[Participant], seed: int, rounds: int) -> None:
    """Let the engines take turns in building `rounds` blocks."""
    random = Random(seed)  # noqa: S311  the same seed must give the same rounds
    source = RandomTransactions(CHAIN_ID, seed, SENDERS)
    head = genesis = await engines[0].engine.genesis_hash()
    waiting: list[bytes] = []
    for round_ in range(1, rounds + 1):
        builder = engines[round_ % len(engines)]
        root = BlockHash(sha256(head))
        attributes = PayloadAttributes(
            head, root, 1_000_000 + 2 * round_, sha256(root), BURN_ADDRESS, source.withdrawals()
        )
        offered = waiting + source.batch(random.randrange(1, TRANSACTIONS - len(waiting)))
        await builder.offer(offered)
        payload = await builder.engine.build_payload(head, genesis, genesis, attributes)
        # The embedded engine leaves out what a slot has no time for; the next builder gets it then.
        waiting = [raw for raw in offered if raw not in payload.transactions]
        assert not waiting or builder.name == "embedded", f"{builder.name} leaves out {len(waiting)} transactions"
        name, wrong = spoiled(payload, root, random)
        for each in engines:
            verdict = await each.engine.new_payload(wrong, root)
            assert isinstance(verdict, Invalid), f"{each.name} takes a wrong {name}: {verdict}"
        await agree(engines, payload, root, genesis)
        head = payload.block_hash


async def test_embedded_engine_and_geth_agree(tmp_path: Path, seed: int) -> None:
    """A contract developed on the one must do on the other what it did, to the last unit of gas."""
    async with (
        embedded(tmp_path / "embedded") as own,
        components.geth(tmp_path, GENESIS, JWT) as process,
        external(process) as geth,
    ):
        assert await own.engine.genesis_hash() == await geth.engine.genesis_hash()
        await run_rounds([own, geth], seed, ROUNDS)


async def test_embedded_engine_and_ethereumjs_agree(tmp_path: Path, seed: int) -> None:
    """A third implementation, which shares no code with either, and so none of their mistakes."""
    async with (
        embedded(tmp_path / "embedded") as own,
        components.ethereumjs(tmp_path, GENESIS, JWT) as process,
        external(process) as ethereumjs,
    ):
        assert await own.engine.genesis_hash() == await ethereumjs.engine.genesis_hash()
        await run_rounds([own, ethereumjs], seed, ROUNDS)
