"""Runs `alysd signer` as an operator does, with its own files in a folder."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import httpx

from alysd.cli import main
from alysd.testing.processes import LoopbackProcess


@attrs.define(eq=False, kw_only=True)
class SignerProcess(LoopbackProcess):
    """A process `alysd signer`, whose files are in `folder`."""

    folder: Path

    async def probe(self) -> None:
        """The signer is up when it logs that it is ready."""


def signer_file(folder: Path, chain: Path, key: Path, listen: str, *others: str) -> Path:
    """Write the configuration of a signer, and make its record."""
    files = folder / "signer"
    files.mkdir()
    assert main(["keys", "record", "--bitcoin", str(key), "--out", str(files / "record"), "--yes"]) == 0
    config = files / "signer.toml"
    lines = (
        f'chain = "{chain}"',
        f'key_file = "{key}"',
        'record = "record"',
        'followed = "followed"',
        f'listen = "{listen}"',
        *others,
    )
    config.write_text("\n".join(lines) + "\n")
    return config


@asynccontextmanager
async def signer_process(folder: Path, config: Path) -> AsyncGenerator[SignerProcess]:
    """Run a signer while the `with` block runs."""
    async with httpx.AsyncClient() as client:
        running = SignerProcess(
            name="signer",
            command=(sys.executable, "-m", "alysd", "signer", "--config", str(config)),
            log=folder / "signer.log",
            client=client,
            settled=b"signer_ready",
            folder=config.parent,
        )
        await running.start()
        try:
            yield running
        finally:
            await running.kill()
