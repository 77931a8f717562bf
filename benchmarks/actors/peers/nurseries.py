"""`alysd.nurseries` as a program uses it, with timestamps, counters and supervision."""

import gc
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter, process_time

import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import Actor, Address, HealthMonitor, HealthRules, Priority, actor, handles
from benchmarks.actors.measuring import (
    CLIENTS,
    CONSUMERS,
    IN_A_ROW,
    LATENCY_RATE,
    MAILBOX,
    PACE_SECONDS,
    PRODUCERS,
    Figures,
    Sizes,
    percentile,
    receivers,
    resident_bytes,
)
from benchmarks.actors.peers.nurseries_variants import VARIANTS
from benchmarks.actors.peers.nurseries_workers import CRASH, ECHO, NOTE, Bench, Note, Worker, addresses, running
from benchmarks.actors.trio_steps import count_steps


class Stopwatch(Actor[Bench], partial=True):
    """Appends the latency of each message to `waits`, in µs; `sent` has the send times in order."""

    def __init__(self, sent: deque[float], waits: list[float]) -> None:
        self.sent = sent
        self.waits = waits

    @handles(Note)
    async def note(self, message: Note) -> None:  # noqa: ARG002
        self.waits.append((perf_counter() - self.sent.popleft()) * 1e6)


async def tell(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)
    async with running([worker]):
        begun = perf_counter()
        for _ in range(sizes.tells):
            await worker.send(NOTE)
        await worker.ask(ECHO)  # is handled after all messages sent before
        seconds = perf_counter() - begun
    return {"tell": sizes.tells / seconds}


async def ask_one(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)

    async def ask_often(asks: int) -> None:
        for _ in range(asks):
            await worker.ask(ECHO)

    async with running([worker]):
        begun = perf_counter()
        await ask_often(sizes.asks)
        seconds = perf_counter() - begun
        steps = await count_steps(ask_often, 1_000)
    return {"ask": seconds / sizes.asks * 1e6, "ask_steps": steps / 1_000}


async def clients(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)

    async def client() -> None:
        for _ in range(sizes.asks_a_client):
            await worker.ask(ECHO)

    async with running([worker]):
        begun = perf_counter()
        async with trio.open_nursery() as askers:
            for _ in range(CLIENTS):
                askers.start_soon(client)
        seconds = perf_counter() - begun
    return {"clients": CLIENTS * sizes.asks_a_client / seconds}


async def crowd(sizes: Sizes, in_a_row: int = 1, key: str = "crowd") -> Figures:
    workers = addresses(CONSUMERS)
    plans = [receivers(producer, sizes.crowd // PRODUCERS, in_a_row) for producer in range(PRODUCERS)]

    async def produce(plan: list[int]) -> None:
        for receiver in plan:
            await workers[receiver].send(NOTE)

    async with running(workers):
        begun = perf_counter()
        async with trio.open_nursery() as producers:
            for plan in plans:
                producers.start_soon(produce, plan)
        await wait_all_tasks_blocked()
        seconds = perf_counter() - begun
    return {key: sum(worker.handled for worker in workers) / seconds}


async def crowd_fours(sizes: Sizes) -> Figures:
    return await crowd(sizes, IN_A_ROW, "crowd_fours")


async def spawn(sizes: Sizes) -> Figures:
    async with running([]) as system:
        begun = perf_counter()
        for index in range(sizes.spawns):
            worker: Address[Bench] = Address(f"actor-{index}", capacity=MAILBOX)
            system.add("Root", actor(worker, Worker))
            await worker.ask(ECHO)
        seconds = perf_counter() - begun
    return {"spawn": seconds / sizes.spawns * 1e6}


async def crash(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)
    times: list[float] = []
    async with running([worker]):
        await worker.ask(ECHO)
        for _ in range(sizes.crashes):
            begun = perf_counter()
            await worker.send(CRASH)
            await worker.ask(ECHO)
            times.append((perf_counter() - begun) * 1e6)
    return {"crash": percentile(times, 0.5), "crash_p99": percentile(times, 0.99)}


async def idle(sizes: Sizes) -> Figures:
    """Memory includes the addresses, the names and the tree as data, since every actor needs them."""
    gc.collect()
    before, begun = resident_bytes(), perf_counter()
    workers = addresses(sizes.idle)
    async with running(workers):
        for worker in workers:
            await worker.ask(ECHO)
        paused = perf_counter()
        gc.collect()
        used = resident_bytes() - before
        begun += perf_counter() - paused
    return {"idle": used / sizes.idle, "idle_life": (perf_counter() - begun) / sizes.idle * 1e6}


async def latency(sizes: Sizes) -> Figures:
    (worker,) = addresses(1)
    times: deque[float] = deque()
    waits: list[float] = []
    async with running([worker], lambda: Stopwatch(times, waits)):
        begun, sent = perf_counter(), 0
        while (elapsed := perf_counter() - begun) < sizes.latency_seconds:
            while sent < elapsed * LATENCY_RATE:
                times.append(perf_counter())
                await worker.send(NOTE)
                sent += 1
            await trio.sleep(PACE_SECONDS)
    return {"latency": percentile(waits, 0.5), "latency_p99": percentile(waits, 0.99)}


async def lookup(sizes: Sizes) -> Figures:
    async with running(addresses(CONSUMERS)) as system:
        name, find = "actor-500", system.registry.address
        begun = perf_counter()
        for _ in range(sizes.lookups):
            find(name)
        seconds = perf_counter() - begun
    return {"lookup": seconds / sizes.lookups * 1e9}


async def health(sizes: Sizes) -> Figures:
    """Processor time of a round, which includes the wait for the answers but nothing else."""
    beat = 0.2
    rules = HealthRules(intervals=dict.fromkeys(Priority, beat), timeout=beat / 2)
    monitor = HealthMonitor(rules)

    async with running(addresses(CONSUMERS), monitor=monitor):
        await trio.sleep(2 * beat)
        begun, rounds_before = process_time(), len(monitor.trend)
        await trio.sleep(beat * sizes.health_rounds)
        seconds, rounds = process_time() - begun, len(monitor.trend) - rounds_before
    return {"health": seconds / rounds * 1e3}


JOBS: Mapping[str, Callable[[Sizes], Awaitable[Figures]]] = {
    "tell": tell,
    "ask": ask_one,
    "clients": clients,
    "crowd": crowd,
    "crowd_fours": crowd_fours,
    "spawn": spawn,
    "crash": crash,
    "idle": idle,
    "latency": latency,
    "lookup": lookup,
    "health": health,
    **VARIANTS,
}


def measure(job: str, sizes: Sizes) -> Figures | None:
    """Do one job."""
    return trio.run(JOBS[job], sizes.faster(4))
