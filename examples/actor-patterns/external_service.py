"""Supervision of an external process: an actor owns it and crashes when it ends.

The actor starts the process in `pre_start` and ends it in `stopped`, which runs however the actor ended. So no
process is left behind. Run it: python examples/actor-patterns/external_service.py
"""

import logging
import subprocess
import sys

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    ExponentialBackoff,
    HandlerCrashed,
    OneForOne,
    actor,
    handles,
    open_system,
    supervisor,
)

SERVICE = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
"""The external program: writes each line back in capitals."""

ANSWER_SECONDS = 5.0
"""The timeout for one line: on a busy machine a process needs a second to start."""

LINE_BYTES = 4096
"""The longest answer that is read."""


class ServiceDied(Exception):
    """The process ended, or closed its output."""


class Shouting:
    """The protocol of `Service`."""


@attrs.frozen
class Shout(Ask[Shouting, str]):
    """Let the process answer."""

    text: str


class Service(Actor[Shouting]):
    """Owns one external process. No other code talks to it."""

    def __init__(self, started: list[trio.Process]) -> None:
        self._started = started
        self._process: trio.Process | None = None

    async def pre_start(self) -> None:
        """Start the process. No message is handled before it runs."""
        self._process = await trio.lowlevel.open_process(
            [sys.executable, "-c", SERVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._started.append(self._process)

    async def stopped(self) -> None:
        """End the process and wait for its end."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            if self._process.stdio is not None:
                await self._process.stdio.aclose()

    @handles(Shout)
    async def shout(self, message: Shout) -> str:
        """Write a line and read a line. A broken pipe or an end of file means that the process has ended."""
        assert self._process is not None
        assert self._process.stdio is not None
        try:
            with trio.fail_after(ANSWER_SECONDS):
                await self._process.stdio.send_all(message.text.encode() + b"\n")
                answer = await self._process.stdio.receive_some(LINE_BYTES)
        except trio.BrokenResourceError as error:
            raise ServiceDied("the process no longer reads its input") from error
        if not answer:
            raise ServiceDied("the process ended without an answer")
        return answer.decode().strip()


async def main() -> None:
    """Ask, kill the process from outside, ask its successor, stop, and check that no process is left."""
    service: Address[Shouting] = Address("service")
    started: list[trio.Process] = []
    child = actor(service, lambda: Service(started), restart=ExponentialBackoff(first_seconds=0.05))
    async with open_system(supervisor("Root", OneForOne(), [child])):
        print(await service.ask(Shout("hello"), seconds=ANSWER_SECONDS))
        started[0].kill()
        await started[0].wait()
        try:
            await service.ask(Shout("are you there?"), seconds=ANSWER_SECONDS)
        except HandlerCrashed as error:
            print(error)
        print(await service.ask(Shout("and now?"), seconds=ANSWER_SECONDS))
    print("processes started:", len(started), "still running:", sum(each.poll() is None for each in started))


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crash above is meant
    trio.run(main)
