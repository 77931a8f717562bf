"""Burns through the real bridge contract: which logs count, and what becomes of them."""

from pathlib import Path

import pytest
from eth_abi.abi import encode as abi_encode
from trio.testing import MockClock

from alysd.errors import Malformed
from alysd.testing.blocks import make_payload
from alysd.testing.peg import peg_in
from alysd.types.hashes import EvmAddress, TransactionHash
from alysd.types.peg import BRIDGE_ADDRESS, Burn, PegContents, PegOutRequest, Refund
from alysd.types.tables import Table
from alysd.types.units import Sat
from alysd.wire import bridge_logs
from alysd.wire.bridge_logs import REQUEST_TOPIC, bloom_has, burns_in
from alysd.wire.keccak import keccak256
from alysd.wire.receipts import encode_receipt
from tests.embedded.engine.kit import transfer
from tests.peg.chain_world import GOOD_ADDRESS, USERS, WEI_PER_SAT, burn, peg_spec, peg_world

RICH, OTHER, _ = USERS
DEPOSIT = PegContents(peg_ins=(peg_in("deposit", 5_000_000),))
FORGER = EvmAddress(b"\xf0" * 20)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def log_data(address: bytes = GOOD_ADDRESS, sat: int = 200_000) -> bytes:
    """The data of the bridge's log."""
    return abi_encode(["bytes", "uint256"], [address, sat * WEI_PER_SAT])


def forging_code() -> bytes:
    """Code that emits the bridge's log with the caller as sender, from whatever address it runs at."""
    data = log_data()
    stores = b"".join(
        b"\x7f" + data[at : at + 32] + b"\x60" + bytes([at]) + b"\x52" for at in range(0, len(data), 32)
    )
    topics = b"\x33" + b"\x7f" + REQUEST_TOPIC
    return stores + topics + b"\x60" + bytes([len(data)]) + b"\x60\x00" + b"\xa2" + b"\x00"


async def test_a_burn_is_owed_and_a_refused_one_is_minted_back(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        start = await world.block(DEPOSIT)
        state = await world.block(transactions=[
            burn(RICH, 0, 300_000),
            burn(RICH, 1, 99_999),  # below the minimum
            burn(OTHER, 0, 200_000, b"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),  # another network's
            burn(RICH, 2, 0),  # reverts
            burn(RICH, 3, 150_000, b"1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),  # mainnet's
        ])  # fmt: skip
        assert state.peg.burned == 300_000 + 99_999 + 200_000 + 150_000
        assert (state.peg.owed, state.peg.reserve) == (299_900, 100)
        assert state.peg.refunds_due == 99_999 + 200_000 + 150_000
        requests = await world.entries(state, *((Table.REQUESTS, number(place)) for place in range(2)))
        assert requests[1] is None
        assert isinstance(requests[0], PegOutRequest)
        assert (requests[0].sender, requests[0].owed, len(requests[0].script)) == (RICH.address, 299_900, 34)
        refunds = await world.entries(state, (Table.REFUNDS, number(0)), (Table.REFUNDS, number(1)))
        assert refunds == (Refund(RICH.address, Sat(99_999)), Refund(OTHER.address, Sat(200_000)))
        # They are withdrawals of the next block, whose author has no choice about them.
        before = await world.balance(OTHER.address, state)
        after = await world.block()
        assert (after.peg.refunds_due, after.peg.refunded) == (0, 449_999)
        assert await world.balance(OTHER.address, after) - before == 200_000 * WEI_PER_SAT
        assert after.next_withdrawal == start.next_withdrawal + 3
        assert await world.entries(after, (Table.REFUNDS, number(0))) == (None,)
        assert (await world.block()).peg == after.peg


async def test_refunds_wait_for_room(tmp_path: Path, autojump_clock: MockClock, no_threads: None) -> None:
    """Nothing that is owed is forgotten, and no block has more than its withdrawals."""
    async with peg_world(tmp_path) as world:
        await world.block(DEPOSIT)
        await world.block(transactions=[burn(RICH, nonce, 50_000 + nonce) for nonce in range(40)])
        mints = tuple(peg_in(f"d{place}", 100_000, to=EvmAddress(bytes([place + 1]) * 20)) for place in range(10))
        heads = [await world.block(PegContents(peg_ins=mints)), await world.block(), await world.block()]
        assert [state.peg.first_refund for state in heads] == [6, 22, 38]
        last = await world.block()
        assert (last.peg.first_refund, last.peg.refunds_due) == (40, 0)
        assert last.peg.refunded == sum(50_000 + nonce for nonce in range(40))


async def test_logs_of_other_contracts_are_no_burns(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """V1 paid for every log with the right topic: from a constructor, and from any contract."""
    code = forging_code()
    alloc = {"0x" + FORGER.hex(): {"balance": "0x0", "nonce": "0x1", "code": "0x" + code.hex()}}
    async with peg_world(tmp_path, peg_spec(alloc)) as world:
        await world.block(DEPOSIT)
        signed = await world.make(await world.head(), transactions=[
            transfer(RICH, 0, to=None, value=0, gas=300_000, data=code, chain_id=4242),
            transfer(RICH, 1, to=FORGER, value=10**15, gas=300_000, chain_id=4242),
            transfer(RICH, 2, to=BRIDGE_ADDRESS, value=0, gas=300_000, data=code, chain_id=4242),
        ])  # fmt: skip
        assert bloom_has(signed.block.payload.logs_bloom, REQUEST_TOPIC), "the logs are there"
        state = await world.take(signed)
        assert (state.peg.burned, state.peg.owed, state.peg.next_request) == (0, 0, 0)
        # Beside a real burn, which makes the bloom filter match, they are still none.
        state = await world.block(transactions=[
            transfer(RICH, 3, to=FORGER, value=0, gas=300_000, chain_id=4242),
            burn(OTHER, 0, 250_000),
        ])  # fmt: skip
        assert (state.peg.burned, state.peg.next_request) == (250_000, 1)


def bloom_of(*items: bytes) -> bytes:
    bits = 0
    for item in items:
        digest = keccak256(item)
        for at in (0, 2, 4):
            bits |= 1 << int.from_bytes(digest[at : at + 2], "big") % 2048
    return bits.to_bytes(256, "big")


BLOOM = bloom_of(BRIDGE_ADDRESS, REQUEST_TOPIC)
SENDER = bytes(12) + b"\x77" * 20


def receipt(address: bytes, topics: list[bytes], data: bytes, kind: int = 2) -> bytes:
    return encode_receipt(kind, 1, 50_000, BLOOM, [[address, topics, data]])


def test_a_log_of_the_bridge_is_read() -> None:
    raw = tuple(bytes([place]) for place in range(3))
    payload = make_payload(logs_bloom=BLOOM, transactions=raw)
    good = [receipt(BRIDGE_ADDRESS, [REQUEST_TOPIC, SENDER], log_data(b"a" * size, 7), kind) for size, kind in
            ((1, 0), (32, 2), (90, 1))]  # fmt: skip
    found = burns_in(payload, good)
    assert found == tuple(
        Burn(TransactionHash(keccak256(one)), EvmAddress(b"\x77" * 20), b"a" * size, Sat(7))
        for one, size in zip(raw, (1, 32, 90), strict=True)
    )
    assert burns_in(make_payload(), good) == (), "the bloom filter, which the block's hash covers, says none"


def test_a_transaction_with_many_burns_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction of megabytes with a thousand burns cost every node some 10 s."""
    hashed: list[int] = []

    def counting(data: bytes) -> bytes:
        hashed.append(len(data))
        return keccak256(data)

    monkeypatch.setattr(bridge_logs, "keccak256", counting)
    payload = make_payload(logs_bloom=BLOOM, transactions=(bytes(100_000), b"none"))
    logs = [[BRIDGE_ADDRESS, [REQUEST_TOPIC, SENDER], log_data(b"a", 7)]] * 50
    receipts = [encode_receipt(2, 1, 50_000, BLOOM, logs), encode_receipt(2, 1, 60_000, BLOOM, [])]
    assert len(burns_in(payload, receipts)) == 50
    assert hashed.count(100_000) == 1


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([REQUEST_TOPIC], log_data()),
        ([REQUEST_TOPIC, SENDER, SENDER], log_data()),
        ([SENDER, SENDER], log_data()),
        ([REQUEST_TOPIC, b"\1" + SENDER[1:]], log_data()),
        ([REQUEST_TOPIC, SENDER[1:]], log_data()),
        ([REQUEST_TOPIC, SENDER], b""),
        ([REQUEST_TOPIC, SENDER], log_data()[:-1]),
        ([REQUEST_TOPIC, SENDER], log_data() + bytes(32)),
        ([REQUEST_TOPIC, SENDER], log_data(b"")),
        ([REQUEST_TOPIC, SENDER], log_data(b"a" * 91)),
        ([REQUEST_TOPIC, SENDER], word(32) + log_data()[32:]),
        ([REQUEST_TOPIC, SENDER], log_data()[:64] + word(2**255) + log_data()[96:]),
    ],
)
def test_a_log_that_the_bridge_cannot_emit_is_an_error(topics: list[bytes], data: bytes) -> None:
    """A burn must not be passed over in silence, nor be read with another amount."""
    with pytest.raises(Malformed):
        burns_in(make_payload(logs_bloom=BLOOM, transactions=(b"\1",)), [receipt(BRIDGE_ADDRESS, topics, data)])
