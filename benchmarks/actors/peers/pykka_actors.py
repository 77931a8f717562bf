"""Pykka: a thread per actor, unbounded inboxes, no supervision; the crash job's `on_failure` stands in for it."""

import gc
import threading
import time
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import pykka

from benchmarks.actors.measuring import (
    CLIENTS,
    CONSUMERS,
    IN_A_ROW,
    LATENCY_RATE,
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
IDLE_THREADS = 2_000
"""The number of idle actors. Each has a thread, and a machine cannot start a hundred thousand threads."""


class Worker(pykka.ThreadingActor):
    """Answers with the message. A message that is a number is the time at which it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, float):
            self.waits.append((perf_counter() - message) * 1e6)
            return None
        return self.waits if message == "waits" else message


class Crasher(pykka.ThreadingActor):
    """Crashes on `None`, and starts a replacement."""

    def __init__(self, place: list[pykka.ActorRef[Any]]) -> None:
        super().__init__()
        self.place = place

    def on_receive(self, message: Any) -> Any:
        if message is None:
            raise ValueError("boom")
        return message

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:  # noqa: ARG002
        self.place[0] = Crasher.start(self.place)


def tell(sizes: Sizes) -> Figures:
    worker = Worker.start()
    begun = perf_counter()
    for _ in range(sizes.tells):
        worker.tell(MESSAGE)
    worker.ask(MESSAGE)
    return {"tell": sizes.tells / (perf_counter() - begun)}


def ask_one(sizes: Sizes) -> Figures:
    worker = Worker.start()
    begun = perf_counter()
    for _ in range(sizes.asks):
        worker.ask(MESSAGE, timeout=ASK_SECONDS)
    return {"ask": (perf_counter() - begun) / sizes.asks * 1e6}


def clients(sizes: Sizes) -> Figures:
    """Uses as many futures at a time as the other peers have clients, because threads would be slower."""
    worker = Worker.start()
    begun = perf_counter()
    for _ in range(sizes.asks_a_client):
        futures = [worker.ask(MESSAGE, block=False) for _ in range(CLIENTS)]
        for future in futures:
            future.get(timeout=ASK_SECONDS)
    return {"clients": CLIENTS * sizes.asks_a_client / (perf_counter() - begun)}


def crowd(sizes: Sizes, in_a_row: int = 1, key: str = "crowd") -> Figures:
    workers = [Worker.start() for _ in range(CONSUMERS)]

    def produce(producer: int) -> None:
        for receiver in receivers(producer, sizes.crowd // PRODUCERS, in_a_row):
            workers[receiver].tell(MESSAGE)

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(PRODUCERS)]
    begun = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for future in [worker.ask(MESSAGE, block=False) for worker in workers]:
        future.get()
    return {key: sizes.crowd / (perf_counter() - begun)}


def crowd_fours(sizes: Sizes) -> Figures:
    return crowd(sizes, IN_A_ROW, "crowd_fours")


def spawn(sizes: Sizes) -> Figures:
    count = sizes.spawns // 5
    begun = perf_counter()
    for _ in range(count):
        Worker.start().ask(MESSAGE)
    return {"spawn": (perf_counter() - begun) / count * 1e6}


def crash(sizes: Sizes) -> Figures:
    place: list[pykka.ActorRef[Any]] = []
    place.append(Crasher.start(place))
    times: list[float] = []
    for _ in range(sizes.crashes):
        old, begun = place[0], perf_counter()
        old.tell(None)
        while place[0] is old:
            time.sleep(0)
        place[0].ask(MESSAGE)
        times.append((perf_counter() - begun) * 1e6)
    return {"crash": percentile(times, 0.5), "crash_p99": percentile(times, 0.99)}


def idle(sizes: Sizes) -> Figures:
    count = min(IDLE_THREADS, sizes.idle)
    gc.collect()
    before, begun = resident_bytes(), perf_counter()
    workers = [Worker.start() for _ in range(count)]
    for worker in workers:
        worker.ask(MESSAGE)
    paused = perf_counter()
    gc.collect()
    used = resident_bytes() - before
    begun += perf_counter() - paused
    pykka.ActorRegistry.stop_all()
    return {"idle": used / count, "idle_life": (perf_counter() - begun) / count * 1e6}


def latency(sizes: Sizes) -> Figures:
    worker = Worker.start()
    begun, sent = perf_counter(), 0
    while (elapsed := perf_counter() - begun) < sizes.latency_seconds:
        while sent < elapsed * LATENCY_RATE:
            worker.tell(perf_counter())
            sent += 1
        time.sleep(PACE_SECONDS)
    waits: Any = worker.ask("waits")
    return {"latency": percentile(waits, 0.5), "latency_p99": percentile(waits, 0.99)}


def lookup(sizes: Sizes) -> Figures:
    workers = [Worker.start() for _ in range(CONSUMERS)]
    name, count = workers[500].actor_urn, sizes.lookups // 100
    begun = perf_counter()
    for _ in range(count):
        pykka.ActorRegistry.get_by_urn(name)
    return {"lookup": (perf_counter() - begun) / count * 1e9}


JOBS: Mapping[str, Callable[[Sizes], Figures]] = {
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
}


def measure(job: str, sizes: Sizes) -> Figures | None:
    """Do one job and stop all actors; `None` when there is nothing to measure."""
    if job not in JOBS:
        return None
    try:
        return JOBS[job](sizes)
    finally:
        pykka.ActorRegistry.stop_all()
