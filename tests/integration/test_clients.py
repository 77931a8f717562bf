"""The tools of contract developers, unchanged from npm, against the daemon with its embedded engine.

Each script in `tests/clients` uses one tool as its documentation shows, and fails if an answer is wrong. They
run in a copy of that folder, beside the packages that `scripts/install-components` has installed. web3.py has a
test of its own, `test_web3_session.py`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from alysd.testing import components
from alysd.testing.config_files import CONF
from alysd.testing.daemon import daemon

TESTS = Path(__file__).parents[1]
CLIENTS = TESTS / "clients"
BOX = TESTS / "embedded" / "rpc" / "box.json"
"""A compiled contract with its source, which hardhat and forge compile again."""

CHAIN_ID = 121212
CLIENT_SECONDS = 180.0
"""Twenty times what a script takes, for machines that are shared."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the scripts beside the installed packages. Skips (or fails) where these are missing."""
    packages = components.folder() / "clients"
    lock = packages / "package-lock.json"
    if not lock.is_file() or lock.read_bytes() != (CLIENTS / "package-lock.json").read_bytes():
        components.missing("clients")
    project = tmp_path / "project"
    shutil.copytree(CLIENTS, project)
    (project / "node_modules").symlink_to(packages / "node_modules")
    shutil.copy(BOX, project)
    for folder in ("hardhat/contracts", "foundry/src"):
        (project / folder).mkdir()
        (project / folder / "Box.sol").write_text(json.loads(BOX.read_text())["source"])
    return project


def environment(home: Path, url: str) -> dict[str, str]:
    """The variables of a script: the chain, and a home folder of its own, in which tools keep their caches."""
    key = next(line for line in (CONF / "dev-account.key").read_text().splitlines() if not line.startswith("#"))
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CI": "1",  # the tools ask no questions and send no statistics
        "CHAIN_URL": url,
        "CHAIN_ID": str(CHAIN_ID),
        "CHAIN_KEY": f"0x{key}",
    }


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        pytest.param(("node", "ethers.mjs"), ".", id="ethers"),
        pytest.param(("node", "viem.mjs"), ".", id="viem"),
        pytest.param(("node", "web3.mjs"), ".", id="web3.js"),
        pytest.param(("node", "foundry.mjs"), ".", id="foundry"),
        pytest.param(
            ("node", "../node_modules/hardhat/internal/cli/bootstrap.js", "test"), "hardhat", id="hardhat"
        ),
    ],
)
async def test_a_tool_works_as_it_is(tmp_path: Path, project: Path, command: tuple[str, ...], folder: str) -> None:
    if command[-1] == "foundry.mjs" and not (project / "node_modules/@foundry-rs/forge-linux-amd64").is_dir():
        pytest.skip("foundry is pinned for Linux on x86-64 only: elsewhere npm leaves it out")
    async with daemon(tmp_path) as node:
        with trio.fail_after(CLIENT_SECONDS):
            done = await trio.run_process(
                command,
                cwd=project / folder,
                env=environment(tmp_path, node.eth_url),
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
        print(done.stdout.decode(errors="replace"))
        assert done.returncode == 0
