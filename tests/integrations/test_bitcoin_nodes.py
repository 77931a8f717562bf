"""Two Bitcoin nodes as one: the second answers while the first does not, and a dead node costs no waiting."""

import pytest
import trio
from trio.testing import MockClock

from alysd.errors import BitcoinUnavailable
from alysd.integrations.bitcoin_nodes import LONGEST_PAUSE_SECONDS, BitcoinNodes
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.types.hashes import BitcoinHash


def two() -> tuple[FakeBitcoinNode, FakeBitcoinNode, BitcoinNodes]:
    chain = FakeBitcoin()
    chain.mine(3)
    first, second = FakeBitcoinNode(chain, delay=0.01), FakeBitcoinNode(chain, delay=0.01)
    return first, second, BitcoinNodes([first, second])


async def test_the_first_that_answers_is_used(autojump_clock: MockClock) -> None:
    first, second, both = two()
    assert (await both.chain_info()).height == 3
    assert (first.calls, second.calls) == (1, 0)
    first.down = "connection refused"
    for _ in range(5):
        assert (await both.chain_info()).height == 3
    assert (first.calls, second.calls) == (2, 5)
    first.down = None
    await trio.sleep(1)
    await both.chain_info()
    assert (first.calls, second.calls) == (3, 5)


async def test_a_node_that_stays_away_is_called_less_and_less(autojump_clock: MockClock) -> None:
    first, _, both = two()
    first.down = "connection refused"
    for _ in range(600):
        await trio.sleep(1)
        await both.chain_info()
    assert first.calls < 30
    first.down = None
    before = first.calls
    await trio.sleep(LONGEST_PAUSE_SECONDS)
    for _ in range(3):
        await both.chain_info()
    assert first.calls == before + 3


async def test_without_any_node_a_call_fails_at_once_with_all_reasons(autojump_clock: MockClock) -> None:
    first, second, both = two()
    first.down, second.down = "connection refused", "it is on the network main"
    with pytest.raises(BitcoinUnavailable, match="connection refused; it is on the network main"):
        await both.chain_info()
    before, now = first.calls + second.calls, trio.current_time()
    with pytest.raises(BitcoinUnavailable, match="connection refused; it is on the network main"):
        await both.chain_info()
    assert (first.calls + second.calls, trio.current_time()) == (before, now)


async def test_a_single_node_gives_its_own_error(autojump_clock: MockClock) -> None:
    node = FakeBitcoinNode(FakeBitcoin(), down="gone")
    alone = BitcoinNodes([node])
    with pytest.raises(BitcoinUnavailable, match=r"^Bitcoin node at http://fake: gone$"):
        await alone.chain_info()


async def test_every_call_is_passed_on(autojump_clock: MockClock) -> None:
    first, second, both = two()
    first.down = "connection refused"
    chain = second.chain
    chain.fee_rate = 7
    assert await both.block_hash(3) == chain.tip
    assert await both.block(chain.tip) == chain.blocks[3].data
    assert await both.fee_rate(6) == 7
    await both.wait_for_height(3, 1)
    await both.broadcast(chain.pay([(1, b"\x51")], wait=False).raw)
    assert len(second.sent) == 1
    waiting = chain.pay([(1, b"\x51")])
    assert await both.mempool(10) == {waiting.txid, second.sent[0].txid}
    assert await both.transactions([waiting.txid]) == (waiting.raw,)


async def test_a_mempool_that_cannot_be_read_stops_no_other_call(autojump_clock: MockClock) -> None:
    first, second, both = two()
    first.no_mempool = second.no_mempool = "getmempoolinfo: Forbidden"
    with pytest.raises(BitcoinUnavailable, match="Forbidden; .*Forbidden"):
        await both.mempool(10)
    with pytest.raises(BitcoinUnavailable, match="Forbidden"):
        await both.transactions([BitcoinHash(bytes(32))])
    before = first.calls
    await both.chain_info()
    assert first.calls == before + 1
