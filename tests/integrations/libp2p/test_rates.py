"""The token bucket: a burst at once, then the rate."""

import pytest
import trio
from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


async def test_a_burst_is_free_and_then_the_rate_holds(autojump_clock: MockClock) -> None:
    """A peer could send as fast as it likes, or an honest one would be slowed down at once."""
    from alysd.integrations.libp2p.rates import TokenBucket

    bucket = TokenBucket(10, 20)
    began = trio.current_time()
    for _ in range(20):
        await bucket.take(1)
    assert trio.current_time() == began
    for _ in range(30):
        await bucket.take(1)
    assert trio.current_time() - began == pytest.approx(3.0)
    assert not bucket.try_take(1)
    await trio.sleep(100)
    assert bucket.try_take(20)
    assert not bucket.try_take(1)
