"""pyright refuses exactly the lines of the snippet that are marked `# refused`."""

import json
import subprocess
import sys
from pathlib import Path

SNIPPET = """
from collections.abc import Callable

import attrs

from alysd.nurseries import (
    Actor, Address, Aligned, Ask, CircuitBreaker, Deferred, ExponentialBackoff, FixedDelay, Immediate, Never,
    OneForOne, OnCrash, Overflow, Tell, actor, handles, pool, supervisor, task,
)


class Fees: ...


class Blocks: ...


@attrs.frozen
class GetRate(Ask[Fees, int]): ...


@attrs.frozen
class Forget(Tell[Fees]): ...


@attrs.frozen
class Mined(Tell[Blocks]): ...


class FeeActor(Actor[Fees]):
    @handles(GetRate)
    async def get_rate(self, message: GetRate) -> int:
        return 1

    @handles(Forget)
    async def forget(self, message: Forget) -> None: ...


class DeferringActor(Actor[Fees], partial=True):
    @handles(GetRate)
    async def get_later(self, message: GetRate) -> Deferred[int]:
        token: Deferred[int] = Deferred()
        token.reply(1)
        token.reply("1")  # refused
        return token


class WrongHandlers(Actor[Fees], partial=True):
    @handles(GetRate)  # refused
    async def text(self, message: GetRate) -> str:
        return "1"

    @handles(GetRate)  # refused
    async def deferred(self, message: GetRate) -> Deferred[str]:
        return Deferred()

    @handles(GetRate)  # refused
    async def other(self, message: Forget) -> int:
        return 1

    @handles(Forget)  # refused
    async def answered(self, message: Forget) -> int:
        return 1

    @handles(GetRate)  # refused
    def blocking(self, message: GetRate) -> int:
        return 1


class BlockActor(Actor[Blocks]):
    @handles(Mined)
    async def mined(self, message: Mined) -> None:
        self.timers.after(1.0, Mined())
        self.timers.after(1.0, Forget())  # refused


fees: Address[Fees] = Address("fees", overflow=Overflow.FAIL, on_crash=OnCrash.RETRY)
Address[Fees]("fees", overflow=OnCrash.RETRY)  # refused
Address[Fees]("fees", on_crash=Overflow.FAIL)  # refused


async def senders() -> None:
    rate: int = await fees.ask(GetRate())
    text: str = await fees.ask(GetRate())  # refused
    fees.tell(Forget())
    fees.tell(Mined())  # refused
    fees.tell(GetRate())  # refused
    await fees.ask(Forget())  # refused
    await fees.send(Mined())  # refused
    print(rate, text)


actor(fees, FeeActor)
actor(fees, BlockActor)  # refused
actor(fees, FeeActor, restart=OneForOne())  # refused
actor(fees, FeeActor, overflow=Overflow.FAIL)  # refused
pool(fees, 4, FeeActor, restart=Immediate())
pool(fees, 4, lambda: FeeActor(), restart=FixedDelay(1.0))
pool(fees, 4, FeeActor, restart=ExponentialBackoff())
pool(fees, 4, BlockActor)  # refused
pool(fees, 4, FeeActor, restart=Never())  # refused
pool(fees, 4, FeeActor, restart=CircuitBreaker())  # refused
pool(fees, 4, FeeActor, restart=Aligned(Immediate(), abs))  # refused
pool(fees, 4, FeeActor, overflow=Overflow.FAIL)  # refused
pool(fees, 4, FeeActor, balance="round robin")  # refused
pool("fees", 4, FeeActor)  # refused
supervisor("Root", OneForOne(), [pool(fees, 2, FeeActor)])
supervisor("Root", Immediate(), [])  # refused
supervisor("Root", OneForOne(), [FeeActor])  # refused
make: Callable[[], Actor[Fees]] = DeferringActor
task("run", senders)
task("run", fees)  # refused
"""


def test_pyright_refuses_what_it_should_and_nothing_else(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "snippet.py").write_text(SNIPPET)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": [str(root)]})
    )
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "snippet.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = json.loads(run.stdout)["generalDiagnostics"]
    refused = sorted({each["range"]["start"]["line"] for each in found})
    marked = [number for number, line in enumerate(SNIPPET.splitlines()) if line.endswith("# refused")]
    lines = SNIPPET.splitlines()
    assert [lines[number] for number in refused] == [lines[number] for number in marked]
    assert refused == marked
