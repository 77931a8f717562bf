"""The places of a port: bounds on running requests and bodies, and what a connection gives back."""

import socket
from collections import Counter

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from alysd.api.http.connection_places import Phase, Port
from alysd.api.http.limits import ServerLimits
from alysd.api.http.messages import HttpRefused
from alysd.messages.metrics import PortCounts

LIMITS = ServerLimits(rpc=2, operator=1, waiting=1, bodies=100, responses=100, turns=2, send_rate=10)


class Passes(trio.abc.Instrument):
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


def port() -> Port:
    return Port(LIMITS, PortCounts("test"))


async def test_running_requests_are_bounded_and_operators_have_places_of_their_own() -> None:
    shared = port()
    places = [shared.enter() for _ in range(4)]
    places[0].run(operator=False)
    places[1].run(operator=False)
    with pytest.raises(HttpRefused, match="requests are running already"):
        places[2].run(operator=False)
    places[2].run(operator=True)
    with pytest.raises(HttpRefused, match="requests are running already"):
        places[3].run(operator=True)
    places[0].rest()
    places[3].run(operator=False)


async def test_a_place_gives_back_what_it_has_however_it_ends() -> None:
    """A leak would shut the port after 256 connections of that kind."""
    shared = port()
    for end in ("idle", "reading", "running", "sending", "given up"):
        place = shared.enter()
        if end != "idle":
            place.read()
            place.grow(60)
        if end in ("running", "sending", "given up"):
            place.run(operator=True)
        if end in ("sending", "given up"):
            place.send(50)
        if end == "given up":
            place.give_up()
        place.leave()
        held = shared.running, shared.body_bytes, shared.response_bytes, shared.places
        assert held == ({True: 0, False: 0}, 0, 0, set()), end


async def test_all_bodies_together_are_bounded() -> None:
    shared = port()
    one, other = shared.enter(), shared.enter()
    one.grow(60)
    with pytest.raises(HttpRefused, match="the requests' bodies exceed"):
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
        sending.send(1)
        await trio.sleep(LIMITS.request + 1)
        called = [place.scope.cancel_called for place in (idle, reading, running, sending)]
        assert called == [False, True, False, True]
        await trio.sleep(LIMITS.keep_alive)
        assert idle.scope.cancel_called
        assert not running.scope.cancel_called, "a method has a deadline of its own"
        nursery.cancel_scope.cancel()


async def test_a_response_being_sent_takes_no_place_of_a_request_that_runs() -> None:
    """Clients that read slowly refused all others for 28 s."""
    shared = port()
    for _ in range(LIMITS.rpc):
        place = shared.enter()
        place.run(operator=False)
        place.send(1)
    shared.enter().run(operator=False)


async def test_the_connection_that_has_been_sending_longest_gives_way(autojump_clock: MockClock) -> None:
    """A pipelined request does not begin a new time of waiting."""
    shared = port()
    places = [shared.enter() for _ in range(4)]
    for place in places[:3]:
        await trio.sleep(1)
        place.read()
        place.run(operator=place is places[2])
        if place is not places[2]:
            place.send(1)
    await trio.sleep(1)
    places[3].read()
    places[0].rest(pipelined=True)
    places[0].read()
    places[0].run(operator=False)
    places[0].send(1)
    shared.enter()
    assert [place.given_up for place in places] == [True, False, False, False]
    places[0].leave()
    shared.enter()
    assert [place.given_up for place in places] == [True, True, False, False]


async def test_a_new_connection_is_closed_if_all_requests_run() -> None:
    shared = port()
    places = [shared.enter() for _ in range(4)]
    for place in places:  # a batch that goes on is not refused, so more requests may run than may begin
        place.phase = Phase.RUNNING
    newcomer = shared.enter()
    assert newcomer.given_up
    assert not any(place.given_up for place in places)


async def test_the_responses_of_a_connection_share_one_deadline(autojump_clock: MockClock) -> None:
    """Each of them had 10 s of its own, so that pipelined requests were never too slow."""
    shared = port()
    place = shared.enter()
    left: list[float] = []
    for _ in range(4):
        place.run(operator=False)
        place.send(40)
        left.append(place.deadline - trio.current_time())
        await trio.sleep(7)
        place.rest(pipelined=True)
    assert left == [14, 11, 8, 5]
    await trio.sleep(3)
    place.run(operator=False)
    place.send(0)
    assert place.deadline - trio.current_time() == pytest.approx(1), "-2 s, and 3 s without a response"
    place.rest()
    await trio.sleep(100)
    place.run(operator=False)
    place.send(0)
    assert place.deadline - trio.current_time() == LIMITS.send


async def test_all_responses_together_are_bounded_and_the_newest_is_kept() -> None:
    shared = port()
    places = [shared.enter() for _ in range(3)]
    for place in places[:2]:
        place.run(operator=False)
        place.send(50)
    assert not any(place.given_up for place in places)
    places[2].run(operator=False)
    places[2].send(60)
    assert [place.given_up for place in places] == [True, True, False]
    assert shared.response_bytes == 60
    places[2].rest()
    places[2].run(operator=False)
    places[2].send(500)
    assert not places[2].given_up, "no other connection could make room"


async def test_the_answers_of_an_unfinished_batch_count_as_responses() -> None:
    shared = port()
    batch, sending = shared.enter(), shared.enter()
    batch.run(operator=False)
    await batch.pause(70)
    assert (shared.response_bytes, shared.running[False]) == (70, 1)
    sending.run(operator=False)
    sending.send(40)
    assert not batch.given_up, "a running request is finished"
    await batch.pause(80)
    assert sending.given_up
    batch.send(90)
    assert shared.response_bytes == 90


async def test_so_many_requests_begin_in_one_pass_of_the_event_loop_and_in_order() -> None:
    """256 batches, each of which did an item in every pass, delayed each step of a block by 50 ms."""
    shared = port()
    begun: list[tuple[int, int]] = []
    loop = Passes()

    async def work(number: int) -> None:
        for _ in range(3):
            await shared.turn()
            begun.append((loop.count, number))

    trio.lowlevel.add_instrument(loop)
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(work, number)
    trio.lowlevel.remove_instrument(loop)
    assert max(Counter(at for at, _ in begun).values()) == LIMITS.turns
    assert all(sorted(number for _, number in begun[at : at + 10]) == list(range(10)) for at in (0, 10, 20))


@pytest.mark.parametrize("cancelled", [0, 1, 2, 3])
async def test_a_cancelled_turn_goes_to_the_next_in_line(cancelled: int) -> None:
    shared = port()
    taken: list[int] = []

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            scopes = [trio.CancelScope() for _ in range(5)]

            async def scoped(number: int) -> None:
                with scopes[number]:
                    await shared.turn()
                    taken.append(number)

            scopes[cancelled].cancel()
            for number in range(5):
                nursery.start_soon(scoped, number)
        assert sorted(taken) == [number for number in range(5) if number != cancelled]
        await shared.turn()


@pytest.mark.parametrize("end", ["closed", "reset", "half closed"])
async def test_a_batch_ends_when_its_client_has_gone(end: str) -> None:
    """What 256 clients had asked for was done in full after they had closed: slots were missed."""
    client, server = socket.socketpair()
    with client, server:
        place = port().enter(server.fileno())
        place.run(operator=False)
        client.send(b"the next request, which has arrived already")
        with place.scope:
            await place.pause(0)
            assert not place.scope.cancel_called
            if end == "half closed":
                client.shutdown(socket.SHUT_WR)
            else:
                if end == "reset":
                    server.send(b"an earlier answer, which nobody reads")
                client.close()
            await place.pause(0)
        assert place.scope.cancelled_caught
        place.leave()
        assert place.port.running[False] == 0


async def test_a_batch_and_pipelined_requests_wait_while_half_of_the_places_are_taken() -> None:
    """They refused the requests of others, because they held all places."""
    shared = Port(ServerLimits(rpc=4), PortCounts("test"))
    batch, pipelined, *others = (shared.enter() for _ in range(5))
    gone = shared.enter()
    batch.run(operator=False)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            for place in others[:2]:
                place.run(operator=False)
            scope.cancel()
            await gone.run_when_free()
        nursery.start_soon(batch.pause, 0)
        nursery.start_soon(pipelined.run_when_free)
        await trio.testing.wait_all_tasks_blocked()
        assert (batch.phase, pipelined.phase) == (Phase.PAUSED, Phase.PAUSED)
        assert shared.running[False] == 2
        others[2].run(operator=False)
        others[0].rest()
        await trio.testing.wait_all_tasks_blocked()
        assert (batch.phase, pipelined.phase) == (Phase.PAUSED, Phase.PAUSED)
        others[1].rest()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted((batch.phase.name, pipelined.phase.name)) == ["PAUSED", "RUNNING"]
        others[2].leave()
    assert (batch.phase, pipelined.phase) == (Phase.RUNNING, Phase.RUNNING)


async def test_a_port_without_connections_is_not_woken(autojump_clock: MockClock) -> None:
    """An idle node would use ten times the processor time for nothing."""
    shared, passes = port(), Passes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.watch)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(passes)
        await trio.sleep(100)
        trio.lowlevel.remove_instrument(passes)
        assert passes.count < 20
        place = shared.enter()
        place.read()
        await trio.sleep(LIMITS.request + 0.2)
        assert place.scope.cancel_called
        nursery.cancel_scope.cancel()


async def test_the_requests_of_a_websocket_are_counted_each(autojump_clock: MockClock) -> None:
    shared = port()
    place = shared.enter()
    place.websocket = True
    place.grow(30)
    first = place.begin_part()
    assert place.waits
    await first.run_when_free()
    assert (shared.running[False], place.waits, shared.body_bytes) == (1, False, 30)
    place.rest()
    assert shared.body_bytes == 30  # the next message does not end the first request
    place.grow(20)
    second = place.begin_part()
    first.send(60)
    assert (shared.running[False], place.waits, place.unsent, shared.body_bytes) == (0, True, 60, 50)
    first.end()
    assert (shared.response_bytes, shared.body_bytes) == (0, 20)
    second.end()
    assert (shared.response_bytes, shared.body_bytes, place.parts) == (0, 0, set())


async def test_a_websocket_whose_answers_exceed_the_limit_is_closed() -> None:
    """They would fill the memory, since the other connections give way to the one with the newest answer."""
    shared = port()
    other, place = shared.enter(), shared.enter()
    other.send(40)
    parts = [place.begin_part() for _ in range(2)]
    parts[0].send(60)
    assert not place.given_up
    parts[1].send(41)
    assert (other.given_up, place.given_up, shared.response_bytes) == (True, True, 0)
    place.leave()
    assert (shared.response_bytes, shared.body_bytes) == (0, 0)


async def test_a_websocket_with_unread_answers_gives_way_although_another_of_its_requests_runs() -> None:
    """With one request always running, each client could leave answers of 64 MiB unread: 12 times the limit."""
    shared = port()
    slow, newest = shared.enter(), shared.enter()
    answered, running = slow.begin_part(), slow.begin_part()
    await running.run_when_free()
    answered.send(60)
    newest.run(operator=False)
    newest.send(50)
    assert (slow.given_up, newest.given_up, shared.response_bytes) == (True, False, 50)
    slow.leave()
    assert (shared.response_bytes, shared.running[False]) == (50, 0)


async def test_a_websocket_that_only_runs_a_batch_does_not_give_way_to_a_response() -> None:
    shared = port()
    working, newest = shared.enter(), shared.enter()
    batch = working.begin_part()
    await batch.run_when_free()
    await batch.pause(60)
    newest.run(operator=False)
    newest.send(50)
    assert not working.given_up, "a running request is finished"


async def test_a_websocket_with_an_unfinished_request_is_not_idle() -> None:
    shared = port()
    idle, busy = shared.enter(), shared.enter()
    idle.websocket = busy.websocket = True
    part = busy.begin_part()
    assert busy.rank() < idle.rank()
    busy.leave()
    assert part not in busy.parts
