"""The configuration as classes: one class per section, one field per option (docs/configuration.md).

Paths marked `INPUT_FILE` are files to read: a relative one starts at the folder of the file that names it.
`storage.path` is the node's data folder: a relative one starts at the working directory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from alysd.types.hashes import EvmAddress

INPUT_FILE: Mapping[str, Any] = {"input_file": True}
"""Metadata of an option that names a file to read: it must exist and be readable."""


@attrs.frozen
class ListenAddress:
    """Where a server listens: an IP address or `localhost`, and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """How a browser on the same machine reaches it."""
        return f"http://{self}"


@attrs.frozen
class HttpUrl:
    """An http or https address; `text` is the whole of it, `str()` leaves user and password out."""

    text: str = attrs.field(repr=False)

    def __str__(self) -> str:
        scheme, _, rest = self.text.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


@attrs.frozen
class ChainConfig:
    """The chain, and this node's role in it.

    `spec` is the chain specification, `authority_key_file` the BLS key of the authority that this node is. A node
    without key is a follower.
    """

    spec: Path = attrs.field(metadata=INPUT_FILE)
    authority_key_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)


@attrs.frozen
class EngineConfig:
    """The execution client: the embedded one, or a real one over the Engine API.

    `engine_url` is its authenticated port and `jwt_secret_file` the secret shared with it; `url` is its public
    RPC, shown to people at start.
    """

    mode: Literal["embedded", "engine-api"] = "embedded"
    url: HttpUrl | None = None
    engine_url: HttpUrl | None = None
    jwt_secret_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)


@attrs.frozen
class ApiConfig:
    """The addresses of the node's servers.

    `address` serves the JSON-RPC of Alys, `ethereum_address` the Ethereum RPC of the embedded engine, and
    `operator_address` the operator's pages (/metrics, /health/status, /status): on `address` when it is not set.
    """

    address: ListenAddress = ListenAddress("127.0.0.1", 3000)
    ethereum_address: ListenAddress = ListenAddress("127.0.0.1", 8545)
    operator_address: ListenAddress | None = None


@attrs.frozen
class StorageConfig:
    """`path` is the node's data folder; each node and each chain has its own."""

    path: Path = Path("data")

    @property
    def control_socket(self) -> Path:
        """The Unix socket of a running node, for `alysd actors`."""
        return self.path / "control.sock"


@attrs.frozen
class MiningConfig:
    """Merged mining: whom this node's own work pays, and whether it works itself.

    `internal` runs a miner inside the node, which only a development chain's target allows.
    `fee_recipient` is also the miner of `getauxblock` without arguments.
    """

    internal: bool = False
    fee_recipient: EvmAddress | None = None


@attrs.frozen
class LoggingConfig:
    """The log: its least level and its format. `auto` is text on a terminal and JSON lines elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


@attrs.frozen
class TracingConfig:
    """Where OpenTelemetry traces of the node's slots go: nowhere unless one is set; needs `alysd[traces]`.

    `endpoint` takes OTLP over HTTP, `console` is the standard error stream.
    """

    endpoint: HttpUrl | None = None
    console: bool = False


@attrs.frozen
class DevelopmentConfig:
    """Options for development chains.

    `account_key_file` holds the key of an account with money, which the node shows at start.
    `keys_known_to_all` says that the key files are published, so that their mode is not checked.
    """

    account_key_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    keys_known_to_all: bool = False


@attrs.frozen
class AlysConfig:
    """The whole configuration, merged and validated."""

    chain: ChainConfig
    engine: EngineConfig = EngineConfig()
    api: ApiConfig = ApiConfig()
    storage: StorageConfig = StorageConfig()
    mining: MiningConfig = MiningConfig()
    logging: LoggingConfig = LoggingConfig()
    tracing: TracingConfig = TracingConfig()
    development: DevelopmentConfig = DevelopmentConfig()


SECTIONS: Mapping[str, type[Any]] = {
    field.name: field.type for field in attrs.fields(AlysConfig) if field.type is not None
}
"""The class of each section, by its name in the file."""
