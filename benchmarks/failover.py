"""Break the first of two execution clients of a running daemon, and see when the second one leads.

    python -m benchmarks.failover [--only BREAK ...] [--second ethereumjs] [--seconds 10]

The first client is geth, behind a relay that can change its answers. It is killed, stopped (it hangs) or made to
lie, at a random moment of a slot, while both clients are level. Each break has a daemon of its own. The table has
the time until the next block and the slots missed. The exit status is 1 if more than one slot was missed after a
break, or if the second client did not take over. EthereumJS needs several tenths of a second for a block: on a
busy machine, use `--second geth`.
"""

import argparse
import json
import os
import random
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import httpx
import trio

from alysd.testing import components
from alysd.testing.components import ExecutionProcess
from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon
from alysd.testing.http_server import Reply, serving
from alysd.testing.processes import ComponentRefusal

GENESIS: dict[str, Any] = json.loads((CONF / "chains/dev.genesis.json").read_text())
SECRETS = (bytes.fromhex((CONF / "dev-jwt.hex").read_text().strip().removeprefix("0x")), bytes(range(32)))

LEVEL_SECONDS = 120.0
"""The longest wait until both clients have the head, or nearly."""

Lie = Callable[[str, dict[str, Any]], Reply]
"""Makes the answer to a method from the true one."""


def status_lie(**status: object) -> Lie:
    """Answer each new payload with this status."""

    def lie(method: str, answer: dict[str, Any]) -> Reply:
        return Reply({**answer, "result": status} if method.startswith("engine_newPayload") else answer)

    return lie


def built_lie(**fields: object) -> Lie:
    """Change these fields of each built payload."""

    def lie(method: str, answer: dict[str, Any]) -> Reply:
        if method.startswith("engine_getPayload") and "result" in answer:
            payload = {**answer["result"]["executionPayload"], **fields}
            answer = {**answer, "result": {**answer["result"], "executionPayload": payload}}
        return Reply(answer)

    return lie


def always(body: object, status: int = 200) -> Lie:
    """Answer everything with the same body."""
    return lambda _method, _answer: Reply(body, status)


LIES: Mapping[str, Lie] = {
    "built: another hash": built_lie(blockHash="0x" + "11" * 32),
    "built: another state": built_lie(stateRoot="0x" + "11" * 32),
    "built: another recipient": built_lie(feeRecipient="0x" + "11" * 20),
    "built: a number as hash": built_lie(blockHash=5),
    "executed: INVALID": status_lie(status="INVALID", latestValidHash=None, validationError="a lie"),
    "executed: SYNCING": status_lie(status="SYNCING", latestValidHash=None),
    "executed: a number": status_lie(status=5),
    "executed: another block": status_lie(status="VALID", latestValidHash="0x" + "22" * 32),
    "all: 100 MB": always(b'{"jsonrpc":"2.0","id":1,"result":"' + b"x" * 100_000_000 + b'"}'),
    "all: deep JSON": always(b"[" * 1_000_000),
    "all: null": always({"jsonrpc": "2.0", "id": 1, "result": None}),
    "all: an error": always({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}}),
    "all: HTTP 500": always(b"<html>", 500),
    "all: HTTP 401": always(b"", 401),
}

BREAKS = ("killed", "hangs", *LIES)


@attrs.define
class Relay:
    """Passes requests on to the first client, and lies about its answers while `lie` is set."""

    client: ExecutionProcess
    lie: Lie | None = None

    async def answer(self, request: dict[str, Any]) -> Reply:
        """The answer to a request of the node."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            answer["result"] = await self.client.engine(request["method"], *request["params"])
        except ComponentRefusal as error:
            answer["error"] = {"code": error.code, "message": error.message}
        except httpx.HTTPError:
            return Reply(b"", 502)
        return Reply(answer) if self.lie is None else self.lie(request["method"], answer)


@asynccontextmanager
async def node_beside(folder: Path, second: str) -> AsyncGenerator[tuple[Daemon, Relay]]:
    """A daemon with geth behind a relay, and with the client `second`."""
    other = components.geth if second == "geth" else components.ethereumjs
    async with (
        components.geth(folder, GENESIS, SECRETS[0]) as first,
        other(folder, GENESIS, SECRETS[1], datadir=folder / "second") as last,
    ):
        relay = Relay(first)
        async with serving(relay.answer) as between:
            settings = (
                f"engine.url={first.eth_url}",
                f"engine.engine_url={between.url}",
                f"engine.jwt_secret_file={first.jwt_file}",
                f"engine.second_url={last.eth_url}",
                f"engine.second_engine_url={last.engine_url}",
                f"engine.second_jwt_secret_file={last.jwt_file}",
                "mining.internal=true",
            )
            async with daemon(folder, *settings, config=CONF / "regtest.toml") as node:
                yield node, relay
                await node.stop()


async def level(node: Daemon) -> None:
    """Wait until the first client is used, and both are at most a block behind."""
    with trio.move_on_after(LEVEL_SECONDS):
        while True:
            clients: list[dict[str, Any]] = (await node.status())["execution"] or []
            near = [one["behind"] in (0, 1) for one in clients]
            if near == [True, True] and clients[0]["active"] and (await height(node)) > 2:
                return
            await trio.sleep(0.1)


async def height(node: Daemon) -> int:
    """The height of the node's head."""
    return (await node.call("getheadblock"))["height"]


async def broken(folder: Path, name: str, second: str, seconds: float) -> bool:
    """Break the first client, and print a row; returns whether the second one leads within a slot."""
    async with node_beside(folder, second) as (node, relay):
        await level(node)
        await trio.sleep(random.random() * 2)  # noqa: S311  a moment of the slot
        missed, head, first = len(node.events("slot_missed")), await height(node), None
        begun = trio.current_time()
        if name == "killed":
            await relay.client.kill()
        elif name == "hangs":
            relay.client.process.send_signal(signal.SIGSTOP)
        else:
            relay.lie = LIES[name]
        while trio.current_time() < begun + seconds:
            if first is None and await height(node) > head:
                first = trio.current_time() - begun
            await trio.sleep(0.02)
        blocks, events = await height(node) - head, node.events("slot_missed")[missed:]
        if name == "hangs":
            relay.client.process.send_signal(signal.SIGCONT)
        relay.lie = None
        slots, leads = sum(event["slots"] for event in events), bool(node.events("execution_takes_over"))
        words = "none" if first is None else f"{first:.2f} s"
        print(f"| {name} | {words} | {blocks} | {slots} | {leads} | {os.getloadavg()[0]:.0f} |", flush=True)
        for event in events:
            print(f"    missed: {event['reason']}", flush=True)
        return leads and slots <= 1


async def measure(folder: Path, options: argparse.Namespace) -> bool:
    """Print the table; returns whether all breaks went well."""
    good = True
    seconds = f"{options.seconds:g}"
    print(f"| geth | next block after | blocks in {seconds} s | slots missed | {options.second} leads | load |")
    print("|---|---|---|---|---|---|")
    for place, name in enumerate(options.only):
        own = folder / str(place)
        own.mkdir()
        good &= await broken(own, name, options.second, options.seconds)
    return good


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=BREAKS, default=BREAKS, help="the breaks to try (all)")
    parser.add_argument("--second", choices=("ethereumjs", "geth"), default="ethereumjs", help="the second client")
    parser.add_argument("--seconds", type=float, default=10, help="how long each break lasts (10)")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        return 0 if trio.run(measure, Path(folder), options) else 1


if __name__ == "__main__":
    raise SystemExit(main())
