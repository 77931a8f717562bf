"""The classes of the configuration: one class per section, one field per option (docs/configuration.md).

Paths marked `INPUT_FILE` or `LATER_FILE` are files to read, relative to the folder of the file that names them.
`storage.path`, the node's data folder, is relative to the working directory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NewType, Self

import attrs

from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import EvmAddress
from alysd.types.peers import PeerAddress
from alysd.types.units import MAX_SAT, Sat

INPUT_FILE: Mapping[str, Any] = {"input_file": True}
"""Metadata of an option that names a file to read: it must exist and be readable."""

LATER_FILE: Mapping[str, Any] = {"later_file": True}
"""Metadata of an option that names a file which another program may write later."""


HostName = NewType("HostName", str)
"""A host name in lower case, without port."""


@attrs.frozen
class ListenAddress:
    """The address of a server: an IP address or `localhost`, and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of the server for a browser on the same machine."""
        return f"http://{self}"


@attrs.frozen
class HttpUrl:
    """An http or https URL. `text` is the complete URL; `str()` omits user and password."""

    text: str = attrs.field(repr=False)

    def __str__(self) -> str:
        scheme, _, rest = self.text.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


@attrs.frozen
class SignerAddress:
    """The address of a signer of payments: the path of a Unix socket, or a host and a port for TLS."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"tls://{ListenAddress(self.host, self.port)}" if self.path is None else f"unix:{self.path}"


@attrs.frozen
class ChainConfig:
    """The chain, and this node's role in it.

    `spec` is the chain specification, `authority_key_file` the BLS key with which this node signs as an authority.
    A node without a key is a follower.
    """

    spec: Path = attrs.field(metadata=INPUT_FILE)
    authority_key_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)


@attrs.frozen
class EngineConfig:
    """The execution client: the embedded engine, or a separate client over the Engine API.

    `engine_url` is the client's authenticated Engine API and `jwt_secret_file` the secret shared with it. `url` is
    the client's public RPC, which the node prints at start. `keep_states` selects the states that the embedded
    engine keeps. With `recent` these are the states after the last final block, after the 128 blocks below it, and
    after all blocks above it.
    """

    mode: Literal["embedded", "engine-api"] = "embedded"
    url: HttpUrl | None = None
    engine_url: HttpUrl | None = None
    jwt_secret_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    keep_states: Literal["recent", "all"] = "recent"


@attrs.frozen
class ApiConfig:
    """The addresses of the node's servers.

    `address` serves the JSON-RPC of Alys, `ethereum_address` the Ethereum RPC of the embedded engine, and
    `operator_address` the operator's pages (/metrics, /health/status, /status), which are on `address` by default.
    `allowed_hosts` are the names by which clients may call these servers, besides IP addresses and `localhost`.
    """

    address: ListenAddress = ListenAddress("127.0.0.1", 3000)
    ethereum_address: ListenAddress = ListenAddress("127.0.0.1", 8545)
    operator_address: ListenAddress | None = None
    allowed_hosts: tuple[HostName, ...] = ()


@attrs.frozen
class NetworkConfig:
    """The peer-to-peer network, which is used if `address` is set. It needs `alysd[network]`.

    `address` is where peers connect to this node, `peers` are those that it connects to: by default the chain's
    bootnodes (`AlysConfig.with_bootnodes`). `key_file` is the key that identifies the node to its peers. By
    default the node makes one in its data folder. At most `max_inbound` peers that are not in `peers` may connect.
    Only the chain that contains the `checkpoint` is synced.
    """

    address: ListenAddress | None = None
    peers: tuple[PeerAddress, ...] = ()
    key_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    max_inbound: int = attrs.field(default=32, metadata={"between": (0, 64)})
    checkpoint: Checkpoint | None = None


@attrs.frozen
class BitcoinConfig:
    """The Bitcoin nodes that the peg uses, of which the second is used while the first does not answer.

    A URL may have a user and a password. A cookie file is read before each call instead: the Bitcoin node writes
    it at each start. It may also be a file of the operator's own; its content is `user:password`.
    """

    url: HttpUrl | None = None
    cookie_file: Path | None = attrs.field(default=None, metadata=LATER_FILE)
    second_url: HttpUrl | None = None
    second_cookie_file: Path | None = attrs.field(default=None, metadata=LATER_FILE)


@attrs.frozen
class PegConfig:
    """The key with which this member of the federation signs payments of bitcoin, or the signer that has the key.

    `key_file` is its Bitcoin key. The first line of `passphrase_file` is the passphrase of an encrypted key. A
    node without a key gathers the signatures of others. The payments that the key first signs within an hour pay
    at most `hourly_limit_sat` together; None for no limit.

    `signer` is the address of an `alysd signer`. With TLS, this node shows the certificate `signer_certificate`,
    whose key is `signer_key`, and accepts a signer whose certificate leads to one in `signer_authority`.
    """

    key_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    passphrase_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    hourly_limit_sat: Sat | None = attrs.field(default=None, metadata={"between": (1, MAX_SAT)})
    signer: SignerAddress | None = None
    signer_certificate: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    signer_key: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    signer_authority: Path | None = attrs.field(default=None, metadata=INPUT_FILE)


@attrs.frozen
class StorageConfig:
    """The location of the database. `path` is the data folder; each node and each chain needs its own."""

    path: Path = Path("data")

    @property
    def control_socket(self) -> Path:
        """The Unix socket of a running node, for `alysd actors`."""
        return self.path / "control.sock"

    @property
    def payment_record(self) -> Path:
        """The record of the payments that this node has signed as a member of the federation."""
        return self.path / "signed-payments"

    @property
    def network_key(self) -> Path:
        """The key that identifies the node to its peers, if `network.key_file` names no other."""
        return self.path / "network.key"


@attrs.frozen
class MiningConfig:
    """Merged mining: the address that is paid, and the internal miner.

    `internal` runs a miner inside the node, which is only fast enough for the target of a development chain.
    `fee_recipient` receives the miner's share of the fees for proofs by the internal miner, and for work that was
    requested by `getauxblock` without arguments.
    """

    internal: bool = False
    fee_recipient: EvmAddress | None = None


@attrs.frozen
class LoggingConfig:
    """The log: its minimum level and its format. `auto` is text on a terminal and JSON lines otherwise."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


@attrs.frozen
class TracingConfig:
    """The destination of OpenTelemetry traces of the node's slots; by default none are recorded.

    `endpoint` is a collector for OTLP over HTTP; `console` writes to standard error. Both need `alysd[traces]`.
    """

    endpoint: HttpUrl | None = None
    console: bool = False


@attrs.frozen
class DevelopmentConfig:
    """Options for development chains.

    `account_key_file` holds the key of a funded account, which the node prints at start. `keys_known_to_all` means
    that the key files are published; their file mode is then not checked.
    """

    account_key_file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)
    keys_known_to_all: bool = False


@attrs.frozen
class AlysConfig:
    """The complete configuration, merged and validated."""

    @property
    def listeners(self) -> Mapping[str, ListenAddress]:
        """The addresses of the node's servers, by their keys."""
        named = {"api.address": self.api.address, "api.operator_address": self.api.operator_address}
        if self.engine.mode == "embedded":
            named["api.ethereum_address"] = self.api.ethereum_address
        named["network.address"] = self.network.address
        return {key: address for key, address in named.items() if address is not None}

    chain: ChainConfig
    engine: EngineConfig = EngineConfig()
    api: ApiConfig = ApiConfig()
    network: NetworkConfig = NetworkConfig()
    bitcoin: BitcoinConfig = BitcoinConfig()
    peg: PegConfig = PegConfig()
    storage: StorageConfig = StorageConfig()
    mining: MiningConfig = MiningConfig()
    logging: LoggingConfig = LoggingConfig()
    tracing: TracingConfig = TracingConfig()
    development: DevelopmentConfig = DevelopmentConfig()

    def with_bootnodes(self, bootnodes: tuple[PeerAddress, ...]) -> Self:
        """This configuration, with the chain's `bootnodes` as peers if it has a network but names no peers."""
        if self.network.address is None or self.network.peers:
            return self
        return attrs.evolve(self, network=attrs.evolve(self.network, peers=bootnodes))


SECTIONS: Mapping[str, type[Any]] = {
    field.name: field.type for field in attrs.fields(AlysConfig) if field.type is not None
}
"""The class of each section, by the section's name in the file."""
