"""The places of a port: bounds on running requests and bodies, and what a connection gives back."""

import pytest
import trio
from trio.testing import MockClock

from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import HttpRefused
from alysd.api.http.places import Port
from alysd.messages.metrics import PortCounts

LIMITS = ServerLimits(rpc=2, operator=1, waiting=1, bodies=100)


def port() -> Port:
    return Port(LIMITS, PortCounts("test"))


async def test_running_requests_are_bounded_and_operators_have_places_of_their_own() -> None:
    shared = port()
    places = [shared.enter() for _ in range(4)]
    places[0].run(operator=False)
    places[1].run(operator=False)
    with pytest.raises(HttpRefused, match="too many requests"):
        places[2].run(operator=False)
    places[2].run(operator=True)
    with pytest.raises(HttpRefused, match="too many requests"):
        places[3].run(operator=True)
    places[0].rest()
    places[3].run(operator=False)


async def test_a_place_gives_back_what_it_has_however_it_ends() -> None:
    """A leak would shut the port after 256 connections of that kind."""
    shared = port()
    for end in ("idle", "reading", "running", "sending"):
        place = shared.enter()
        if end != "idle":
            place.read()
            place.grow(60)
        if end in ("running", "sending"):
            place.run(operator=True)
        if end == "sending":
            place.send()
        place.leave()
        assert (shared.running, shared.body_bytes, shared.places) == ({True: 0, False: 0}, 0, set()), end


async def test_all_bodies_together_are_bounded() -> None:
    shared = port()
    one, other = shared.enter(), shared.enter()
    one.grow(60)
    with pytest.raises(HttpRefused, match="too many large requests"):
        other.grow(60)
    one.rest()
    other.grow(60)


async def test_the_deadline_of_each_phase_is_watched(autojump_clock: MockClock) -> None:
    shared = port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.watch)
        idle, reading, running, sending = (shared.enter() for _ in range(4))
        reading.read()
        running.run(operator=False)
        sending.run(operator=False)
        sending.send()
        await trio.sleep(LIMITS.request + 1)
        called = [place.scope.cancel_called for place in (idle, reading, running, sending)]
        assert called == [False, True, False, True]
        await trio.sleep(LIMITS.keep_alive)
        assert idle.scope.cancel_called
        assert not running.scope.cancel_called, "a method has a deadline of its own"
        nursery.cancel_scope.cancel()
