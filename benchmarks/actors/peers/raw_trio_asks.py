"""An ask with trio alone: a channel and a deadline for each, and the task that answers."""

import trio

ASK_SECONDS = 5.0
MESSAGE = "a message"

Question = tuple[str | None, trio.MemorySendChannel[str]]
"""A message and the channel for the answer. The message `None` crashes the actor."""


async def ask(channel: trio.MemorySendChannel[Question], message: str) -> str:
    reply, answer = trio.open_memory_channel[str](1)
    with trio.fail_after(ASK_SECONDS):
        await channel.send((message, reply))
        return await answer.receive()


async def answer_all(channel: trio.MemoryReceiveChannel[Question]) -> None:
    async for message, reply in channel:
        if message is None:
            raise ValueError("boom")
        reply.send_nowait(message)
