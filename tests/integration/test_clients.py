"""The tools of contract developers, unchanged from npm, against the daemon with its embedded engine.

Each script in `tests/clients` uses one tool as its documentation shows, and fails if an answer is wrong. They
run in a copy of that folder, beside the packages that `scripts/install-components` has installed. web3.py has a
test of its own, `test_web3_session.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
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

PAGE = TESTS.parent / "docs" / "developing-contracts.md"

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


def blocks(language: str, url: str) -> list[str]:
    """The page's programs in this language, with the URL of the node."""
    return [
        block.replace("http://127.0.0.1:8545", url)
        for block in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    ]


def need_foundry(project: Path) -> str:
    """The PATH with forge and cast. Skips where npm has left them out."""
    folders = [project / f"node_modules/@foundry-rs/{name}-linux-amd64/bin" for name in ("forge", "cast")]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("foundry is pinned for Linux on x86-64 only: elsewhere npm leaves it out")
    return ":".join([*map(str, folders), os.environ["PATH"]])


async def run(command: Sequence[str], folder: Path, home: Path, url: str, **variables: str) -> str:
    """Run a command to its end, with a home folder of its own, in which tools keep their caches. Its output."""
    key = next(line for line in (CONF / "dev-account.key").read_text().splitlines() if not line.startswith("#"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CI": "1",  # the tools ask no questions and send no statistics
        "CHAIN_URL": url,
        "CHAIN_ID": str(CHAIN_ID),
        "CHAIN_KEY": f"0x{key}",
        **variables,
    }
    with trio.fail_after(CLIENT_SECONDS):
        done = await trio.run_process(
            command, cwd=folder, env=environment, capture_stdout=True, stderr=subprocess.STDOUT, check=False
        )
    output = done.stdout.decode(errors="replace")
    assert done.returncode == 0, output
    return output


async def test_results_match_the_openrpc_specification(tmp_path: Path, project: Path) -> None:
    async with daemon(tmp_path) as node:
        assert "all passed" in await run(("node", "openrpc.mjs"), project, tmp_path, node.eth_url)


@pytest.mark.parametrize("tool", ["ethers", "viem", "web3"])
async def test_a_library_works_as_it_is(tmp_path: Path, project: Path, tool: str) -> None:
    async with daemon(tmp_path) as node:
        assert "all passed" in await run(("node", f"{tool}.mjs"), project, tmp_path, node.eth_url)


async def test_forge_and_cast_work_as_they_are(tmp_path: Path, project: Path) -> None:
    need_foundry(project)
    async with daemon(tmp_path) as node:
        assert "all passed" in await run(("node", "foundry.mjs"), project, tmp_path, node.eth_url)


async def test_a_hardhat_project_with_the_page_s_configuration_works(tmp_path: Path, project: Path) -> None:
    async with daemon(tmp_path) as node:
        (configuration,) = (block for block in blocks("js", node.eth_url) if "hardhat.config.js" in block)
        (project / "hardhat/hardhat.config.js").write_text(configuration + '\nrequire("./compiler.js");\n')
        hardhat = ("node", "../node_modules/hardhat/internal/cli/bootstrap.js", "test")
        assert "4 passing" in await run(hardhat, project / "hardhat", tmp_path, node.eth_url)


async def test_a_hardhat_project_with_fixtures_and_a_clock_works(tmp_path: Path, project: Path) -> None:
    async with daemon(tmp_path, dev_clock=True) as node:
        (configuration,) = (block for block in blocks("js", node.eth_url) if "hardhat.config.js" in block)
        (project / "hardhat/hardhat.config.js").write_text(configuration + '\nrequire("./compiler.js");\n')
        shutil.copy(project / "hardhat/clock/Lock.sol", project / "hardhat/contracts")
        hardhat = (
            "node",
            "../node_modules/hardhat/internal/cli/bootstrap.js",
            "--network",
            "alysClock",
            "test",
            "clock/lock.js",
        )
        assert "9 passing" in await run(hardhat, project / "hardhat", tmp_path, node.eth_url)


@pytest.mark.parametrize("tool", ["viem-clock", "foundry-clock"])
async def test_a_tool_moves_the_clock_and_returns_to_snapshots(tmp_path: Path, project: Path, tool: str) -> None:
    if tool == "foundry-clock":
        need_foundry(project)
    async with daemon(tmp_path, dev_clock=True) as node:
        assert "all passed" in await run(("node", f"{tool}.mjs"), project, tmp_path, node.eth_url)


async def test_the_programs_of_the_page_run(tmp_path: Path, project: Path) -> None:
    async with daemon(tmp_path) as node:
        for name, block in zip(("viem.mjs", "ethers.mjs"), blocks("js", node.eth_url)[1:], strict=True):
            assert block.startswith(f"// {name}")
            (project / f"page-{name}").write_text(block)
            output = await run(("node", f"page-{name}"), project, tmp_path, node.eth_url)
            assert re.match(r"(success|1) \d+n?\n", output), output
        (program,) = blocks("python", node.eth_url)
        output = await run((sys.executable, "-c", program), project, tmp_path, node.eth_url)
        assert re.match(r"1 \d+\n", output), output
        path = need_foundry(project)
        (commands,) = blocks("sh", node.eth_url)
        shell = ("sh", "-eux", "-c", commands)
        output = await run(shell, project / "foundry", tmp_path, node.eth_url, PATH=path)
        assert output.endswith("1500000001000000000\n"), output
