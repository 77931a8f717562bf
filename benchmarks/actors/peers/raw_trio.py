"""Trio alone: a memory channel per actor, a channel and a deadline per ask, a nursery around crashing code."""

import gc
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import trio
from trio.testing import wait_all_tasks_blocked

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
from benchmarks.actors.peers.raw_trio_asks import MESSAGE, Question, answer_all, ask
from benchmarks.actors.peers.raw_trio_variants import VARIANTS
from benchmarks.actors.trio_steps import count_steps


async def tell(sizes: Sizes) -> Figures:
    send, receive = trio.open_memory_channel[str](MAILBOX)
    handled = 0

    async def produce() -> None:
        async with send:
            for _ in range(sizes.tells):
                await send.send(MESSAGE)

    async with trio.open_nursery() as nursery:
        begun = perf_counter()
        nursery.start_soon(produce)
        async for _ in receive:
            handled += 1
        seconds = perf_counter() - begun
    return {"tell": handled / seconds}


async def ask_one(sizes: Sizes) -> Figures:
    send, receive = trio.open_memory_channel[Question](MAILBOX)

    async def ask_often(asks: int) -> None:
        for _ in range(asks):
            await ask(send, MESSAGE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_all, receive)
        begun = perf_counter()
        await ask_often(sizes.asks)
        seconds = perf_counter() - begun
        steps = await count_steps(ask_often, 1_000)
        nursery.cancel_scope.cancel()
    return {"ask": seconds / sizes.asks * 1e6, "ask_steps": steps / 1_000}


async def clients(sizes: Sizes) -> Figures:
    send, receive = trio.open_memory_channel[Question](MAILBOX)

    async def client() -> None:
        for _ in range(sizes.asks_a_client):
            await ask(send, MESSAGE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_all, receive)
        begun = perf_counter()
        async with trio.open_nursery() as askers:
            for _ in range(CLIENTS):
                askers.start_soon(client)
        seconds = perf_counter() - begun
        nursery.cancel_scope.cancel()
    return {"clients": CLIENTS * sizes.asks_a_client / seconds}


async def crowd(sizes: Sizes, in_a_row: int = 1, key: str = "crowd") -> Figures:
    channels = [trio.open_memory_channel[str](MAILBOX) for _ in range(CONSUMERS)]
    plans = [receivers(producer, sizes.crowd // PRODUCERS, in_a_row) for producer in range(PRODUCERS)]
    handled = 0

    async def consume(receive: trio.MemoryReceiveChannel[str]) -> None:
        nonlocal handled
        async for _ in receive:
            handled += 1

    async def produce(plan: list[int]) -> None:
        for receiver in plan:
            await channels[receiver][0].send(MESSAGE)

    async with trio.open_nursery() as nursery:
        for _, receive in channels:
            nursery.start_soon(consume, receive)
        await wait_all_tasks_blocked()
        begun = perf_counter()
        async with trio.open_nursery() as producers:
            for plan in plans:
                producers.start_soon(produce, plan)
        await wait_all_tasks_blocked()
        seconds = perf_counter() - begun
        nursery.cancel_scope.cancel()
    return {key: handled / seconds}


async def crowd_fours(sizes: Sizes) -> Figures:
    return await crowd(sizes, IN_A_ROW, "crowd_fours")


async def spawn(sizes: Sizes) -> Figures:
    async def child(*, task_status: trio.TaskStatus[trio.MemorySendChannel[Question]]) -> None:
        send, receive = trio.open_memory_channel[Question](MAILBOX)
        task_status.started(send)
        await answer_all(receive)

    async with trio.open_nursery() as nursery:
        begun = perf_counter()
        for _ in range(sizes.spawns):
            await ask(await nursery.start(child), MESSAGE)
        seconds = perf_counter() - begun
        nursery.cancel_scope.cancel()
    return {"spawn": seconds / sizes.spawns * 1e6}


async def crash(sizes: Sizes) -> Figures:
    send, receive = trio.open_memory_channel[Question](MAILBOX)
    nowhere, _ = trio.open_memory_channel[str](1)

    async def supervise() -> None:
        while True:
            try:
                async with trio.open_nursery() as cell:
                    cell.start_soon(answer_all, receive)
            except* ValueError:
                pass

    times: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise)
        await ask(send, MESSAGE)
        for _ in range(sizes.crashes):
            begun = perf_counter()
            await send.send((None, nowhere))
            await ask(send, MESSAGE)
            times.append((perf_counter() - begun) * 1e6)
        nursery.cancel_scope.cancel()
    return {"crash": percentile(times, 0.5), "crash_p99": percentile(times, 0.99)}


async def idle(sizes: Sizes) -> Figures:
    gc.collect()
    before, begun = resident_bytes(), perf_counter()
    async with trio.open_nursery() as nursery:
        sends: list[trio.MemorySendChannel[Question]] = []
        for _ in range(sizes.idle):
            send, receive = trio.open_memory_channel[Question](MAILBOX)
            nursery.start_soon(answer_all, receive)
            sends.append(send)
        await wait_all_tasks_blocked()
        for send in sends:
            await ask(send, MESSAGE)
        paused = perf_counter()
        gc.collect()
        used = resident_bytes() - before
        begun += perf_counter() - paused
        nursery.cancel_scope.cancel()
    return {"idle": used / sizes.idle, "idle_life": (perf_counter() - begun) / sizes.idle * 1e6}


async def latency(sizes: Sizes) -> Figures:
    send, receive = trio.open_memory_channel[float](MAILBOX)
    waits: list[float] = []
    note = waits.append

    async def consume() -> None:
        async for sent_at in receive:
            note((perf_counter() - sent_at) * 1e6)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        begun, sent = perf_counter(), 0
        while (elapsed := perf_counter() - begun) < sizes.latency_seconds:
            while sent < elapsed * LATENCY_RATE:
                await send.send(perf_counter())
                sent += 1
            await trio.sleep(PACE_SECONDS)
        nursery.cancel_scope.cancel()
    return {"latency": percentile(waits, 0.5), "latency_p99": percentile(waits, 0.99)}


async def lookup(sizes: Sizes) -> Figures:
    """Look up in a plain dict, because trio has no names."""
    table = {f"actor-{index}": index for index in range(CONSUMERS)}
    name, find = "actor-500", table.get
    begun = perf_counter()
    for _ in range(sizes.lookups):
        find(name)
    return {"lookup": (perf_counter() - begun) / sizes.lookups * 1e9}


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
    **VARIANTS,
}


def measure(job: str, sizes: Sizes) -> Figures | None:
    """Do one job; `None` when there is nothing to measure."""
    return trio.run(JOBS[job], sizes) if job in JOBS else None
