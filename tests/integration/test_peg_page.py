"""The commands of docs/peg.md for a chain on regtest, run as they are written there."""

import os
import re
import sys
from pathlib import Path

import pytest
import trio

from alysd.testing.components import require
from alysd.testing.processes import free_ports

pytestmark = pytest.mark.component

PAGE = Path(__file__).parents[2] / "docs" / "peg.md"
SECONDS = 240.0

PREAMBLE = """
set -eu
bitcoind() {{ command bitcoind "$@" -listen=0 -rpcport={bitcoin}; }}
bitcoin-cli() {{ command bitcoin-cli -rpcport={bitcoin} "$@"; }}
alysd() {{
  case "$1 ${{2-}}" in
    run*) "{python}" -m alysd "$@" --set api.address=127.0.0.1:{alys} --set api.ethereum_address=127.0.0.1:{eth} \\
            > node.log 2>&1 & node=$!
          until grep -q '"ready"' node.log; do kill -0 $node; sleep 0.2; done ;;
    init*) "{python}" -m alysd "$@" && sed -i 's/:18443/:{bitcoin}/' pegchain/alysd.toml ;;
    "peg out") "{python}" -m alysd "$@" --url http://127.0.0.1:{alys} --ethereum http://127.0.0.1:{eth} ;;
    peg*) "{python}" -m alysd "$@" --url http://127.0.0.1:{alys} ;;
    *) "{python}" -m alysd "$@" ;;
  esac
}}
stop() {{ kill ${{node-}} || true; bitcoin-cli -regtest stop || true; wait; }}
trap stop EXIT
"""
"""The page's commands have the usual ports, which may be in use on this machine."""


def page_commands() -> str:
    section = PAGE.read_text().partition("## A chain of your own, on regtest")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


async def test_the_commands_of_the_page_work_as_written(tmp_path: Path) -> None:
    """A deposit, a burn, an audit of both chains, and the raw transaction of the payment."""
    bitcoin, alys, eth = free_ports(3)
    programs = require("bitcoind").parent
    script = PREAMBLE.format(python=sys.executable, bitcoin=bitcoin, alys=alys, eth=eth)
    commands = page_commands().replace(":18443", f":{bitcoin}").replace(":8545", f":{eth}")
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"}
    with trio.fail_after(SECONDS):
        done = await trio.run_process(
            ["timeout", "200", "bash", "-c", script + commands],
            cwd=tmp_path,
            env=environment,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    said = done.stdout.decode()
    assert done.returncode == 0, said + done.stderr.decode()
    assert "final: credited for good" in said
    assert "confirmed: paid" in said
    assert re.search(r"held by the federation +0.00500000 BTC", said)
    assert re.search(r"deposits, requests, refunds and consolidations wait\n", said)
    assert re.search(r"^02000000000101[0-9a-f]{200,}$", said, re.MULTILINE), "the raw payment, with witnesses"
