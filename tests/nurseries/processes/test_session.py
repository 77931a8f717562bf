"""A session with a real process, whose output is logged, from its start to its end."""

import logging

import pytest
import trio

from alysd.nurseries import Address, Immediate, OneForOne, open_system, process, supervisor
from tests.nurseries.processes.counting import CODEC, Answer, Counting, Misbehave, Total

START = "tests.nurseries.processes.counting:start"
SECONDS = 60.0
"""For the start of an interpreter on a machine that is busy with other work."""


async def test_a_real_process_answers_prints_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="alysd.nurseries.processes")
    counter: Address[Counting] = Address("counter")
    tree = supervisor("Root", OneForOne(), [process(counter, START, codec=CODEC, config=4)])
    async with open_system(tree):
        assert await counter.ask(Total(), seconds=SECONDS) == 4
        assert "counter" not in await counter.ask(Answer("environment"), seconds=SECONDS)
        counter.tell(Misbehave("print"))
        with trio.fail_after(SECONDS):
            while "counter: INFO the actor prints" not in caplog.messages:  # noqa: ASYNC110  another process prints
                await trio.sleep(0.01)


async def test_a_killed_process_is_noticed_although_what_it_forked_holds_the_socket() -> None:
    """Its asks waited until their deadlines, and its tells for ever."""
    counter: Address[Counting] = Address("counter")
    tree = supervisor("Root", OneForOne(), [process(counter, START, codec=CODEC, config=4, restart=Immediate())])
    async with open_system(tree) as system:
        counter.tell(Misbehave("fork"))
        assert await counter.ask(Total(), seconds=SECONDS) == 4
        error = system.snapshot().children[0].last_error
        assert error == "ProcessDied: the process of counter ended: killed by SIGKILL"
