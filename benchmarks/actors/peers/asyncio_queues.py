"""asyncio alone: a queue and a task per actor, a future and a timeout per ask, a group around crashing code."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import perf_counter

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

ASK_SECONDS = 5.0
MESSAGE = "a message"

Question = tuple[str | None, asyncio.Future[str]]


async def ask(queue: asyncio.Queue[Question], message: str | None) -> str:
    reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(ASK_SECONDS):
        await queue.put((message, reply))
        return await reply


async def answer_all(queue: asyncio.Queue[Question]) -> None:
    while True:
        message, reply = await queue.get()
        if message is None:
            raise ValueError("boom")
        if not reply.done():
            reply.set_result(message)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def together(works: list[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


async def tell(sizes: Sizes) -> Figures:
    queue: asyncio.Queue[str | None] = asyncio.Queue(MAILBOX)
    handled = 0

    async def produce() -> None:
        for _ in range(sizes.tells):
            await queue.put(MESSAGE)
        await queue.put(None)

    begun = perf_counter()
    producer = asyncio.create_task(produce())
    while await queue.get() is not None:
        handled += 1
    seconds = perf_counter() - begun
    await producer
    return {"tell": handled / seconds}


async def ask_one(sizes: Sizes) -> Figures:
    queue: asyncio.Queue[Question] = asyncio.Queue(MAILBOX)
    server = asyncio.create_task(answer_all(queue))
    begun = perf_counter()
    for _ in range(sizes.asks):
        await ask(queue, MESSAGE)
    seconds = perf_counter() - begun
    await end([server])
    return {"ask": seconds / sizes.asks * 1e6}


async def clients(sizes: Sizes) -> Figures:
    queue: asyncio.Queue[Question] = asyncio.Queue(MAILBOX)

    async def client() -> None:
        for _ in range(sizes.asks_a_client):
            await ask(queue, MESSAGE)

    server = asyncio.create_task(answer_all(queue))
    begun = perf_counter()
    await together([client() for _ in range(CLIENTS)])
    seconds = perf_counter() - begun
    await end([server])
    return {"clients": CLIENTS * sizes.asks_a_client / seconds}


async def crowd(sizes: Sizes, in_a_row: int = 1, key: str = "crowd") -> Figures:
    queues: list[asyncio.Queue[str]] = [asyncio.Queue(MAILBOX) for _ in range(CONSUMERS)]
    plans = [receivers(producer, sizes.crowd // PRODUCERS, in_a_row) for producer in range(PRODUCERS)]
    handled = 0
    done = asyncio.Event()

    async def consume(queue: asyncio.Queue[str]) -> None:
        nonlocal handled
        while True:
            await queue.get()
            handled += 1
            if handled == sizes.crowd:
                done.set()

    async def produce(plan: list[int]) -> None:
        for receiver in plan:
            await queues[receiver].put(MESSAGE)

    consumers = [asyncio.create_task(consume(queue)) for queue in queues]
    await asyncio.sleep(0)
    begun = perf_counter()
    await together([produce(plan) for plan in plans])
    await done.wait()
    seconds = perf_counter() - begun
    await end(consumers)
    return {key: handled / seconds}


async def crowd_fours(sizes: Sizes) -> Figures:
    return await crowd(sizes, IN_A_ROW, "crowd_fours")


async def spawn(sizes: Sizes) -> Figures:
    tasks: list[asyncio.Task[None]] = []
    begun = perf_counter()
    for _ in range(sizes.spawns):
        queue: asyncio.Queue[Question] = asyncio.Queue(MAILBOX)
        tasks.append(asyncio.create_task(answer_all(queue)))
        await ask(queue, MESSAGE)
    seconds = perf_counter() - begun
    await end(tasks)
    return {"spawn": seconds / sizes.spawns * 1e6}


async def crash(sizes: Sizes) -> Figures:
    queue: asyncio.Queue[Question] = asyncio.Queue(MAILBOX)
    nowhere: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def supervise() -> None:
        while True:
            try:
                async with asyncio.TaskGroup() as cell:
                    cell.create_task(answer_all(queue))
            except* ValueError:
                pass

    times: list[float] = []
    root = asyncio.create_task(supervise())
    await ask(queue, MESSAGE)
    for _ in range(sizes.crashes):
        begun = perf_counter()
        await queue.put((None, nowhere))
        await ask(queue, MESSAGE)
        times.append((perf_counter() - begun) * 1e6)
    await end([root])
    return {"crash": percentile(times, 0.5), "crash_p99": percentile(times, 0.99)}


async def idle(sizes: Sizes) -> Figures:
    gc.collect()
    before, begun = resident_bytes(), perf_counter()
    queues: list[asyncio.Queue[Question]] = [asyncio.Queue(MAILBOX) for _ in range(sizes.idle)]
    tasks = [asyncio.create_task(answer_all(queue)) for queue in queues]
    await asyncio.sleep(0)
    for queue in queues:
        await ask(queue, MESSAGE)
    paused = perf_counter()
    gc.collect()
    used = resident_bytes() - before
    begun += perf_counter() - paused
    await end(tasks)
    return {"idle": used / sizes.idle, "idle_life": (perf_counter() - begun) / sizes.idle * 1e6}


async def latency(sizes: Sizes) -> Figures:
    queue: asyncio.Queue[float] = asyncio.Queue(MAILBOX)
    waits: list[float] = []

    async def consume() -> None:
        while True:
            sent_at = await queue.get()
            waits.append((perf_counter() - sent_at) * 1e6)

    consumer = asyncio.create_task(consume())
    begun, sent = perf_counter(), 0
    while (elapsed := perf_counter() - begun) < sizes.latency_seconds:
        while sent < elapsed * LATENCY_RATE:
            await queue.put(perf_counter())
            sent += 1
        await asyncio.sleep(PACE_SECONDS)
    await end([consumer])
    return {"latency": percentile(waits, 0.5), "latency_p99": percentile(waits, 0.99)}


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
}


def measure(job: str, sizes: Sizes) -> Figures | None:
    """Do one job; `None` when there is nothing to measure."""

    async def run() -> Figures:
        return await JOBS[job](sizes)

    return asyncio.run(run()) if job in JOBS else None
