"""Trio alone, the variants of `tell` and `ask`: see `nurseries_variants`, which does the same with actors."""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import attrs
import trio
from trio.lowlevel import checkpoint

from benchmarks.actors.measuring import MAILBOX, Figures, Sizes
from benchmarks.actors.peers.raw_trio_asks import MESSAGE, Question, answer_all, ask


@attrs.frozen
class Note:
    text: str


async def tell_built(sizes: Sizes) -> Figures:
    send, receive = trio.open_memory_channel[Note](MAILBOX)

    async def produce() -> None:
        async with send:
            for _ in range(sizes.tells):
                await send.send(Note("a message"))

    async with trio.open_nursery() as nursery:
        begun = perf_counter()
        nursery.start_soon(produce)
        async for _ in receive:
            pass
        seconds = perf_counter() - begun
    return {"tell_built": sizes.tells / seconds}


async def _tell(sizes: Sizes, *, awaits: bool) -> float:
    send, receive = trio.open_memory_channel[str](MAILBOX)

    async def produce() -> None:
        async with send:
            for _ in range(sizes.tells):
                await send.send(MESSAGE)

    async with trio.open_nursery() as nursery:
        begun = perf_counter()
        nursery.start_soon(produce)
        async for _ in receive:
            if awaits:
                await checkpoint()
        seconds = perf_counter() - begun
    return sizes.tells / seconds


async def tell_awaits(sizes: Sizes) -> Figures:
    return {"tell_awaits": await _tell(sizes, awaits=True)}


async def tell_bounded(sizes: Sizes) -> Figures:
    """Without a bound, as with `tell`: a cancel scope for each message would make the base slower."""
    return {"tell_bounded": await _tell(sizes, awaits=False)}


async def tell_monitored(sizes: Sizes) -> Figures:
    """Without a monitor, because trio has none."""
    return {"tell_monitored": await _tell(sizes, awaits=False)}


async def within_ask(sizes: Sizes) -> Figures:
    front, front_receive = trio.open_memory_channel[Question](MAILBOX)
    back, back_receive = trio.open_memory_channel[Question](MAILBOX)

    async def relay() -> None:
        async for message, reply in front_receive:
            reply.send_nowait(await ask(back, message or ""))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay)
        nursery.start_soon(answer_all, back_receive)
        begun = perf_counter()
        for _ in range(sizes.asks):
            await ask(front, MESSAGE)
        seconds = perf_counter() - begun
        nursery.cancel_scope.cancel()
    return {"within_ask": seconds / sizes.asks * 1e6}


VARIANTS: Mapping[str, Callable[[Sizes], Awaitable[Figures]]] = {
    "tell_built": tell_built,
    "tell_awaits": tell_awaits,
    "tell_bounded": tell_bounded,
    "tell_monitored": tell_monitored,
    "within_ask": within_ask,
}
