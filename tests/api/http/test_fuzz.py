"""No stream of bytes makes an error leave its connection, however it is cut into packets."""

import random

import pytest
from trio.testing import MockClock

from tests.api.http.fuzzing import INTERESTING, fuzz
from tests.api.http.memory_client import converse, new_port
from tests.thorough import cases

STREAMS = cases(600, 3000)
"""About one second, and five. `python -m tests.api.http.fuzzing` runs more."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Only sent when the body does not come with the head."""


async def test_random_streams_end_their_own_connection_at_most(autojump_clock: MockClock) -> None:
    seed = random.randrange(2**32)  # noqa: S311
    print(f"seed {seed}")
    answers = await fuzz(STREAMS, seed)
    assert {"200", "400", "101"} <= set(answers), "the streams are not as varied as they should be"


@pytest.mark.parametrize("data", INTERESTING.values(), ids=INTERESTING)
async def test_the_cuts_between_packets_change_no_answer(autojump_clock: MockClock, data: bytes) -> None:
    port = new_port()
    whole = await converse([data], port)
    for at in range(1, len(data)):
        received = await converse([data[:at], data[at:]], port)
        assert received.removeprefix(CONTINUE) == whole, f"cut at {at}"
    assert port.counts.failed == 0
