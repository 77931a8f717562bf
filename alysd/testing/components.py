"""Starts the real systems that a node uses, for a test or a benchmark, on free loopback ports.

`scripts/install-components` installs them. A component is searched for at the path in its environment variable
(`ALYSD_BITCOIND`, `ALYSD_GETH`, `ALYSD_ETHEREUMJS`), then in `$ALYSD_COMPONENTS/bin` (by default
`~/.cache/alysd/components/bin`), then on PATH. A test whose component is missing is skipped, or fails under
`ALYSD_REQUIRE_COMPONENTS=1`. Logs are kept beside the data, and shown when a test fails (conftest.py).
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import attrs
import httpx
import jwt as pyjwt
import trio

from alysd.testing.processes import (
    CALL_SECONDS,
    START_SECONDS,
    ComponentFailed,
    LoopbackProcess,
    call_json_rpc,
    free_ports,
)

RPC_USER, RPC_PASSWORD = "alys", "regtest"

CHAIN_ID = 727_272
JWT = bytes(range(32))
RICH = "0x" + "aa" * 20
ZERO_HASH = "0x" + "00" * 32
BEACON_ROOTS_ADDRESS = "0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"
# The system contract of EIP-4788, as that document gives it.
BEACON_ROOTS_CODE = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414"
    "603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
FORKS_BY_BLOCK = (
    *("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople"),
    *("petersburg", "istanbul", "berlin", "london", "mergeNetsplit"),
)
CANCUN_GENESIS: dict[str, Any] = {
    "config": {
        "chainId": CHAIN_ID,
        **{f"{fork}Block": 0 for fork in FORKS_BY_BLOCK},
        "terminalTotalDifficulty": 0,
        "terminalTotalDifficultyPassed": True,
        "shanghaiTime": 0,
        "cancunTime": 0,
        # The values of EIP-4844; geth refuses a Cancun genesis that does not state them.
        "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}},
    },
    "nonce": "0x0",
    "timestamp": "0x0",
    "extraData": "0x",
    "gasLimit": "0x1c9c380",
    "difficulty": "0x0",
    "mixHash": ZERO_HASH,
    "coinbase": "0x" + "00" * 20,
    "baseFeePerGas": "0x3b9aca00",
    "alloc": {
        RICH: {"balance": hex(10**24)},
        BEACON_ROOTS_ADDRESS: {"balance": "0x0", "nonce": "0x1", "code": BEACON_ROOTS_CODE},
    },
}


def find(name: str) -> Path | None:
    """The path of the program `name`, or None.

    Raises FileNotFoundError if the program's environment variable names a file that does not exist.
    """
    variable = f"ALYSD_{name.upper()}"
    if chosen := os.environ.get(variable):
        if not Path(chosen).is_file():
            raise FileNotFoundError(f"{variable}={chosen}: no such file")
        return Path(chosen)
    installed = folder() / "bin" / name
    if installed.is_file():
        return installed
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def folder() -> Path:
    """The folder into which `scripts/install-components` installs by default."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ALYSD_COMPONENTS") or cache / "alysd" / "components")


def require(name: str) -> Path:
    """The path of the program `name`. If it is missing, skip or fail the test (`missing`)."""
    return find(name) or missing(name)


def missing(name: str) -> NoReturn:
    """Skip the test because a component is missing, or fail it under `ALYSD_REQUIRE_COMPONENTS=1`."""
    import pytest

    reason = f"{name} is not installed; run scripts/install-components --only {name}"
    if os.environ.get("ALYSD_REQUIRE_COMPONENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@attrs.define(eq=False, kw_only=True)
class Bitcoind(LoopbackProcess):
    """A bitcoind with a new regtest chain, a transaction index and no peers."""

    rpc_url: str
    user: str = RPC_USER
    password: str = RPC_PASSWORD
    datadir: Path

    async def call(self, method: str, *params: object, wallet: str | None = None) -> Any:
        """Call an RPC method, on the named wallet if given, and return its result.

        Raises ComponentRefusal, httpx.HTTPError.
        """
        url = f"{self.rpc_url}/wallet/{wallet}" if wallet else self.rpc_url
        return await call_json_rpc(self.client, url, method, params, auth=(self.user, self.password))

    async def probe(self) -> None:
        """Return if bitcoind has loaded its chain. Before that, raise its error -28 as `ComponentRefusal`."""
        await self.call("getblockchaininfo")


@attrs.define(eq=False, kw_only=True)
class ExecutionProcess(LoopbackProcess):
    """An execution client with an eth API and, behind a JWT, an Engine API."""

    eth_url: str
    engine_url: str
    jwt_file: Path
    datadir: Path

    async def eth(self, method: str, *params: object) -> Any:
        """Call a method of the public API and return its result. Raises ComponentRefusal, httpx.HTTPError."""
        return await call_json_rpc(self.client, self.eth_url, method, params)

    async def engine(self, method: str, *params: object) -> Any:
        """Call a method of the Engine API, with a new token, and return its result.

        Raises ComponentRefusal, httpx.HTTPError.
        """
        secret = bytes.fromhex(self.jwt_file.read_text().strip().removeprefix("0x"))
        token = pyjwt.encode({"iat": int(time.time())}, secret, algorithm="HS256")
        return await call_json_rpc(
            self.client, self.engine_url, method, params, headers={"Authorization": f"Bearer {token}"}
        )

    async def probe(self) -> None:
        """Return once both APIs answer."""
        await self.eth("eth_chainId")
        await self.engine("engine_exchangeCapabilities", [])


@asynccontextmanager
async def bitcoind(tmp_path: Path, *options: str) -> AsyncGenerator[Bitcoind]:
    """A bitcoind with its data in `tmp_path`/bitcoind and further `options`, stopped at the end.

    Raises `ComponentFailed`.
    """
    program = require("bitcoind")
    (port,) = free_ports(1)
    datadir = tmp_path / "bitcoind"
    await trio.Path(datadir).mkdir(exist_ok=True)
    command = [
        *(str(program), "-regtest", f"-datadir={datadir}", "-printtoconsole=1", "-nodebuglogfile"),
        *("-server", "-txindex", "-fallbackfee=0.0001", "-listen=0", "-dnsseed=0", "-connect=0"),
        *("-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", f"-rpcport={port}"),
        *(f"-rpcuser={RPC_USER}", f"-rpcpassword={RPC_PASSWORD}", *options),
    ]
    async with httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False) as client:
        node = Bitcoind(
            name="bitcoind",
            command=tuple(command),
            log=tmp_path / f"bitcoind-{port}.log",
            client=client,
            rpc_url=f"http://127.0.0.1:{port}",
            datadir=datadir,
        )
        async with _running(node):
            yield node


@asynccontextmanager
async def geth(
    tmp_path: Path, genesis: Mapping[str, Any], jwt: bytes, *, datadir: Path | None = None
) -> AsyncGenerator[ExecutionProcess]:
    """A geth on a chain that begins with `genesis` (geth's format). It keeps all states and is stopped at the end.

    `jwt` is the Engine API's secret, 32 bytes. `datadir` is by default `tmp_path`/geth; if it contains blocks of
    this chain, geth continues from them. Raises ComponentFailed, also if geth refuses the genesis.
    """
    program = require("geth")
    datadir = datadir or tmp_path / "geth"
    # The hash scheme writes each state as it is executed. With the newer path scheme an archive cannot answer for
    # old blocks until it has indexed them.
    state = ("--datadir", str(datadir), "--state.scheme", "hash")
    await _run_to_end(
        (str(program), "init", *state, str(_genesis_file(datadir, genesis))), tmp_path / "geth-init.log"
    )
    config = _beside(datadir, "toml")
    config.write_text('[Node.P2P]\nListenAddr = ""\n')  # no flag keeps geth from listening for peers everywhere
    eth, engine = free_ports(2)
    command = [
        *(str(program), "--config", str(config), *state, "--gcmode", "archive", "--syncmode", "full"),
        *("--networkid", str(genesis["config"]["chainId"]), "--cache", "128", "--ipcdisable"),
        *("--engine.maxreorgdepth", "0"),  # a branch is abandoned down to the last final block, not by 32 at most
        *("--nodiscover", "--maxpeers", "0", "--nat", "none"),
        *(
            "--http",
            "--http.addr",
            "127.0.0.1",
            "--http.port",
            str(eth),
            "--http.api",
            "eth,net,web3,txpool,debug",
        ),
        *("--authrpc.addr", "127.0.0.1", "--authrpc.port", str(engine)),
        *("--authrpc.jwtsecret", str(_jwt_file(datadir, jwt))),
    ]
    # geth answers a moment before it handles SIGTERM. A SIGTERM in between would lose its newest blocks.
    settled = b"Started P2P networking"
    async with _execution_client("geth", command, tmp_path, datadir, eth, engine, settled) as client:
        yield client


@asynccontextmanager
async def ethereumjs(
    tmp_path: Path, genesis: Mapping[str, Any], jwt: bytes, *, datadir: Path | None = None
) -> AsyncGenerator[ExecutionProcess]:
    """An EthereumJS client, as `geth` above; its `datadir` is by default `tmp_path`/ethereumjs."""
    program = require("ethereumjs")
    datadir = datadir or tmp_path / "ethereumjs"
    eth, engine, peers = free_ports(3)
    command = [
        *(str(program), "--gethGenesis", str(_genesis_file(datadir, genesis)), "--dataDir", str(datadir)),
        *("--sync", "none", "--maxPeers", "0", "--discDns", "false", "--discV4", "false", "--isSingleNode"),
        *("--extIP", "127.0.0.1", "--port", str(peers), "--logLevel", "warn", "--no-logFile"),
        *("--rpc", "--rpcAddr", "127.0.0.1", "--rpcPort", str(eth)),
        *("--rpcEngine", "--rpcEngineAddr", "127.0.0.1", "--rpcEnginePort", str(engine)),
        *("--jwtSecret", str(_jwt_file(datadir, jwt))),
    ]
    async with _execution_client("ethereumjs", command, tmp_path, datadir, eth, engine) as client:
        yield client


@asynccontextmanager
async def _execution_client(
    name: str, command: list[str], tmp_path: Path, datadir: Path, eth: int, engine: int, settled: bytes = b""
) -> AsyncGenerator[ExecutionProcess]:
    await trio.Path(datadir).mkdir(exist_ok=True)
    async with httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False) as http:
        client = ExecutionProcess(
            name=name,
            command=tuple(command),
            log=tmp_path / f"{name}-{engine}.log",
            client=http,
            settled=settled,
            eth_url=f"http://127.0.0.1:{eth}",
            engine_url=f"http://127.0.0.1:{engine}",
            jwt_file=_beside(datadir, "jwt"),
            datadir=datadir,
        )
        async with _running(client):
            yield client


@asynccontextmanager
async def _running(program: LoopbackProcess) -> AsyncGenerator[None]:
    await program.start()
    try:
        yield
    finally:
        await program.stop()


def _beside(datadir: Path, ending: str) -> Path:
    """A file beside `datadir`, named after it, which the program does not use."""
    return datadir.with_name(f"{datadir.name}.{ending}")


def _jwt_file(datadir: Path, jwt: bytes) -> Path:
    path = _beside(datadir, "jwt")
    path.write_text(f"0x{jwt.hex()}")
    return path


def _genesis_file(datadir: Path, genesis: Mapping[str, Any]) -> Path:
    path = _beside(datadir, "genesis.json")
    path.write_text(json.dumps(genesis))
    return path


async def _run_to_end(command: tuple[str | Path, ...], log: Path) -> None:
    """Run a command until it ends. Raises ComponentFailed, with its last output, if it fails or is too slow."""
    with log.open("wb") as output, trio.move_on_after(START_SECONDS) as deadline:
        ended = await trio.run_process(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
        if ended.returncode != 0:
            last = (await trio.Path(log).read_text(errors="replace")).strip().rpartition("\n")[2]
            raise ComponentFailed(f"{' '.join(map(str, command[:2]))}: {last}")
    if deadline.cancelled_caught:
        raise ComponentFailed(
            f"{' '.join(map(str, command[:2]))}: not done after {START_SECONDS:.0f} s, see {log}"
        )
