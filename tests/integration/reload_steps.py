"""Steps of the tests that change the configuration of running daemons."""

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon
from alysd.testing.processes import ComponentRefusal

DEADLINE = 60.0
"""The seconds until a condition must hold."""


async def asked(node: Daemon, command: str) -> dict[str, Any]:
    """The answer of the control socket, without a process for the command."""
    async with await trio.open_unix_socket(str(node.data / "control.sock")) as stream:
        await stream.send_all(json.dumps({"command": command}).encode() + b"\n")
        line = b""
        with trio.fail_after(DEADLINE):
            while not line.endswith(b"\n"):
                line += await stream.receive_some()
    return json.loads(line)


async def two_more_blocks(node: Daemon) -> None:
    start = (await node.call("getheadblock"))["height"]
    with trio.fail_after(DEADLINE):
        while True:
            if (await node.call("getheadblock"))["height"] >= start + 2:
                return
            await trio.sleep(0.1)


def written(folder: Path, *lines: str, api: str = "") -> Path:
    """The configuration of the development chain in `folder`, with more `lines`, and with `api` in [api]."""
    if not folder.exists():
        shutil.copytree(CONF, folder)
    text = (CONF / "dev.toml").read_text()
    assert "[logging]" not in text
    (folder / "dev.toml").write_text(text.replace("[api]", f"[api]\n{api}") + "\n" + "\n".join(lines) + "\n")
    return folder / "dev.toml"


CHOICES: Mapping[str, Sequence[str]] = {
    "logging.level": ['"info"', '"debug"', '"warning"', '"loud"', "7"],
    "api.allowed_hosts": ["[]", '["a.example"]', '["a.example", "b.example"]', '["not a host"]', '"a.example"'],
    "mining.fee_recipient": [*(f'"0x{number:040x}"' for number in (1, 2, 3)), '"0x12"', "true"],
    "monitoring.degraded_slots": ["3", "5", "9", "1", "10"],  # 10: that is when the node is unhealthy
    "monitoring.least_free_mib": ["512", "0", "64", "-1", '"all"'],
    "network.max_inbound": ["32", "0", "64", "65", "true"],
    "reload.trial_seconds": ["0", "1", "30", "-1", "4000"],
}
"""Values of live options, as TOML: three that are valid and two that are not."""


def random_change(rng: random.Random, values: Mapping[str, str]) -> tuple[Mapping[str, str], bool]:
    """Other values of some options, and whether all are valid."""
    new, valid = dict(values), True
    for key in rng.sample(sorted(CHOICES), rng.randint(1, 3)):
        index = rng.randrange(5 if rng.random() < 0.5 else 3)
        new[key], valid = CHOICES[key][index], valid and index < 3
    return new, valid


def with_values(folder: Path, values: Mapping[str, str]) -> None:
    """Write the configuration of the development chain with these values."""
    lines = [line for line in (CONF / "dev.toml").read_text().splitlines() if "fee_recipient" not in line]
    for key, value in values.items():
        section, name = key.split(".")
        if f"[{section}]" not in lines:
            lines.append(f"[{section}]")
        lines.insert(lines.index(f"[{section}]") + 1, f"{name} = {value}")
    (folder / "dev.toml").write_text("\n".join(lines) + "\n")


async def send_transactions(node: Daemon) -> None:
    """Transfers between development accounts until cancelled; the pool has room for 256 of an account."""
    one, other = (await node.eth("eth_accounts"))[:2]
    while True:
        with suppress(ComponentRefusal):  # blocks are late on a busy machine, and the account's room is used up
            await node.eth("eth_sendTransaction", {"from": one, "to": other, "value": "0x1"})
        await trio.sleep(0.02)
