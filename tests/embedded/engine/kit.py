"""Helpers for tests of the embedded engine: a genesis, signing, and a chain that grows block by block."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import coincurve

from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.chain_store import BlockRecord
from alysd.embedded.engine.execution_chain import ExecutionChain
from alysd.embedded.engine.pending_source import AccountReader
from alysd.embedded.engine.transaction import SignedTransaction, read_transaction
from alysd.types.block import ExecutionPayload, PayloadAttributes, Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import BURN_ADDRESS, BlockHash, EvmAddress, PayloadHash
from alysd.types.units import Gwei
from alysd.types.verdict import Invalid, Valid, Verdict
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpInput, encode, encode_integer

CHAIN_ID = 7
GWEI = 10**9
ETHER = 10**18

BEACON_ROOTS = EvmAddress(bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"))
BEACON_ROOTS_CODE = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff81069081"
    "5414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)

COUNTER = EvmAddress(b"\xc0" * 20)
"""Adds one to slot 0 and logs the sum with the caller as topic."""
COUNTER_CODE = "0x60005460010180600055600052336020" + "6000a100"

LOOP = EvmAddress(b"\xc1" * 20)
"""Burns all gas it gets, slowly: BLOBBASEFEE is not compiled."""
LOOP_CODE = "0x5b4a50600056"

REVERTER = EvmAddress(b"\xc2" * 20)
"""Sets slot 0, then reverts with 32 bytes that end in 0x2a."""
REVERTER_CODE = "0x6001600055602a60005260206000fd"

SPLITTER = EvmAddress(b"\xc3" * 20)
"""Sets slot `calldata[0:32]` to `calldata[32:64]`."""
SPLITTER_CODE = "0x60203560003555"


@attrs.frozen
class Signer:
    """An account with its key."""

    key: bytes

    @property
    def address(self) -> EvmAddress:
        public = coincurve.PrivateKey(self.key).public_key.format(compressed=False)
        return EvmAddress(keccak256(public[1:])[12:])

    def sign(self, parts: Sequence[RlpInput], kind: int) -> tuple[int, bytes, bytes]:
        """Recovery id, r and s over the unsigned transaction."""
        digest = keccak256((bytes((kind,)) if kind else b"") + encode(parts))
        key: Any = coincurve.PrivateKey(self.key)
        signature: bytes = key.sign_recoverable(digest, hasher=None)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return signature[64], encode_integer(r), encode_integer(s)


RICH = Signer(b"\x01" * 32)
OTHER = Signer(b"\x02" * 32)
THIRD = Signer(b"\x03" * 32)


def transfer(
    signer: Signer,
    nonce: int,
    *,
    to: bytes | None = b"\xaa" * 20,
    value: int = 1,
    gas: int = 21_000,
    data: bytes = b"",
    max_fee: int = 100 * GWEI,
    tip: int = GWEI,
    kind: int = 2,
    chain_id: int = CHAIN_ID,
    access_list: Sequence[tuple[bytes, Sequence[bytes]]] = (),
) -> bytes:
    """A signed transaction of type 0, 1 or 2; without `to` it creates a contract."""
    number = encode_integer
    body: list[RlpInput] = [number(gas), to or b"", number(value), data]
    if kind == 0:
        parts: list[RlpInput] = [number(nonce), number(max_fee), *body]
        parity, r, s = signer.sign([*parts, number(chain_id), b"", b""], 0)
        return encode([*parts, number(parity + 35 + 2 * chain_id), r, s])
    prices = [number(tip), number(max_fee)] if kind == 2 else [number(max_fee)]
    listed = [[address, list(slots)] for address, slots in access_list]
    parts = [number(chain_id), number(nonce), *prices, *body, listed]
    parity, r, s = signer.sign(parts, kind)
    return bytes((kind,)) + encode([*parts, number(parity), r, s])


def read(raw: bytes) -> SignedTransaction:
    return read_transaction(raw, CHAIN_ID)


def genesis(**alloc: Any) -> dict[str, Any]:
    """A genesis with the signers rich and the contracts in place; `alloc` adds accounts by hex address."""
    contracts = {
        BEACON_ROOTS: BEACON_ROOTS_CODE,
        COUNTER: COUNTER_CODE,
        LOOP: LOOP_CODE,
        REVERTER: REVERTER_CODE,
        SPLITTER: SPLITTER_CODE,
    }
    return {
        "config": {"chainId": CHAIN_ID, "shanghaiTime": 0, "cancunTime": 0, "terminalTotalDifficulty": 0},
        "gasLimit": "0x1c9c380",
        "baseFeePerGas": hex(GWEI),
        "alloc": {
            **{f"0x{signer.address.hex()}": {"balance": hex(1000 * ETHER)} for signer in (RICH, OTHER, THIRD)},
            **{f"0x{address.hex()}": {"nonce": "0x1", "code": code} for address, code in contracts.items()},
            **alloc,
        },
    }


@attrs.define
class Offered:
    """A pool that offers what it is given, in that order, and remembers what the engine discards and sets back."""

    transactions: list[SignedTransaction]
    discarded: list[tuple[SignedTransaction, str]] = attrs.Factory(list[tuple[SignedTransaction, str]])
    seen: list[AccountReader] = attrs.Factory(list[AccountReader])
    slow_ones: list[SignedTransaction] = attrs.Factory(list[SignedTransaction])
    late: list[SignedTransaction] = attrs.Factory(list[SignedTransaction])
    turns: list[SignedTransaction] = attrs.Factory(list[SignedTransaction])

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        self.seen.append(accounts)
        return iter(self.transactions)

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        return iter(self.slow_ones)

    def set_back(self, transaction: SignedTransaction) -> None:
        self.late.append(transaction)

    def interrupted(self, transaction: SignedTransaction) -> int:
        self.turns.append(transaction)
        return self.turns.count(transaction)

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        self.discarded.append((transaction, reason))


def attributes(
    parent: ExecutionHeader,
    withdrawals: Sequence[Withdrawal] = (),
    beacon_root: bytes = b"\xbe" * 32,
    after: int = 2,
) -> PayloadAttributes:
    return PayloadAttributes(
        parent=parent.hash,
        parent_beacon_block_root=BlockHash(beacon_root),
        timestamp=parent.timestamp + after,
        prev_randao=keccak256(parent.hash),
        fee_recipient=BURN_ADDRESS,
        withdrawals=tuple(withdrawals),
    )


def minted(address: bytes, gwei: int, index: int = 0) -> Withdrawal:
    return Withdrawal(index, 0, EvmAddress(address), Gwei(gwei))


@attrs.define
class Sandbox:
    """An open chain; every block made is imported and becomes the head."""

    chain: ExecutionChain
    discarded: list[tuple[SignedTransaction, str]] = attrs.Factory(list[tuple[SignedTransaction, str]])

    @classmethod
    def open(cls, folder: Path, execution_genesis: dict[str, Any] | None = None, **options: Any) -> "Sandbox":
        return cls(ExecutionChain.open(folder, execution_genesis or genesis(), **options))

    @property
    def head(self) -> ExecutionHeader:
        return self.chain.reader.head()

    def build(
        self,
        *raw: bytes,
        parent: bytes | None = None,
        withdrawals: Sequence[Withdrawal] = (),
        builder: Builder = Builder(seconds=60),  # noqa: B008  frozen, shareable
        after: int = 2,
    ) -> ExecutionPayload:
        """Build a payload on the head or on `parent`, without importing it."""
        on = self.head if parent is None else self.chain.reader.needed_header(parent)
        pending = Offered([read(one) for one in raw])
        payload = self.chain.build(on.hash, attributes(on, withdrawals, after=after), pending, builder)
        self.discarded += pending.discarded
        return payload

    def give(self, payload: ExecutionPayload, beacon_root: bytes = b"\xbe" * 32) -> Verdict:
        """Import a payload."""
        return self.chain.new_payload(payload, BlockHash(beacon_root))

    def refusal(self, payload: ExecutionPayload, beacon_root: bytes = b"\xbe" * 32) -> str:
        """Why an invalid payload is invalid."""
        verdict = self.give(payload, beacon_root)
        assert isinstance(verdict, Invalid), verdict
        return verdict.reason

    def follow(self, head: bytes, safe: bytes | None = None, finalized: bytes | None = None) -> Any:
        base = self.chain.genesis
        return self.chain.set_forkchoice(
            PayloadHash(head), PayloadHash(safe or base), PayloadHash(finalized or base)
        )

    def make(self, *raw: bytes, **options: Any) -> ExecutionPayload:
        """Build, import and follow a block; every transaction must be in it."""
        payload = self.build(*raw, **options)
        assert len(payload.transactions) == len(raw), self.discarded
        assert self.give(payload) == Valid()
        assert self.follow(payload.block_hash) is not None
        return payload

    def balance(self, address: bytes) -> int:
        return self.chain.reader.account(self.head, EvmAddress(address)).balance


class Memory:
    """Nodes and codes in memory."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.codes: dict[bytes, bytes] = {}

    def node(self, digest: bytes) -> bytes:
        return self.nodes[digest]

    def code(self, digest: bytes) -> bytes:
        return self.codes[digest]


def stored_block(number: int, nodes: int = 1, size: int = 100) -> BlockRecord:
    """Return a record whose `nodes` trie nodes have `size` bytes each."""
    values = [f"{number} {index}".encode().ljust(size) for index in range(nodes)]
    return BlockRecord(
        hash=keccak256(b"block %d" % number),
        number=number,
        header=b"header %d" % number,
        body=b"body",
        receipts=b"receipts",
        nodes={keccak256(value): value for value in values},
        codes={keccak256(b"code"): b"code"},
    )
