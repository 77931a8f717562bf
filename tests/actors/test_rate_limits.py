"""Rate limits: a burst is allowed, a flood is not, and no number of peers uses unbounded memory."""

from alysd.actors.rate_limits import KEPT, AllowedRate, RateLimits


def test_a_burst_is_allowed_and_then_only_the_rate() -> None:
    limits = RateLimits(AllowedRate(per_second=2.0, burst=3.0))
    assert [limits.take("peer", 0.0) for _ in range(4)] == [True, True, True, False]
    assert not limits.take("peer", 0.4)
    assert limits.take("peer", 0.5)
    assert [limits.take("peer", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_peers_have_limits_of_their_own() -> None:
    limits = RateLimits(AllowedRate(per_second=1.0, burst=1.0))
    assert limits.take("first", 0.0)
    assert limits.take("second", 0.0)
    assert not limits.take("first", 0.0)


def test_what_is_known_only_afterwards_is_taken_from_the_future() -> None:
    limits = RateLimits(AllowedRate(per_second=10.0, burst=20.0))
    limits.charge("peer", 0.0, 50.0)
    assert not limits.take("peer", 3.0)
    assert limits.take("peer", 3.1)


def test_the_number_of_buckets_is_bounded() -> None:
    limits = RateLimits(AllowedRate(per_second=0.0, burst=1.0))
    for place in range(KEPT + 1):
        limits.take(f"peer {place}", 0.0)
    assert not limits.take(f"peer {KEPT}", 0.0)
    assert limits.take("peer 0", 0.0)
