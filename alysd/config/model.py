"""The classes of the configuration: one class per section, one field per option (docs/configuration.md).

Paths marked `INPUT_FILE` or `LATER_FILE` are files to read, relative to the folder of the file that names them.
`storage.path`, the node's data folder, is relative to the working directory.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

import attrs

from alysd.config.addresses import HostName, HttpUrl, ListenAddress, NodeId, ServerAddress, SignerAddress
from alysd.config.options import INPUT_FILE, LATER_FILE, Applies, ConfigOption, FlagFacts, option
from alysd.config.presets import Environment, Profile
from alysd.types.bounds import between
from alysd.types.checkpoint import Checkpoint
from alysd.types.flags import Rollout
from alysd.types.hashes import EvmAddress
from alysd.types.peers import PeerAddress
from alysd.types.units import MAX_SAT, Sat


@attrs.frozen
class NodeConfig:
    """The name of the node, and its purpose, from which defaults and rules follow (`alysd.config.presets`)."""

    name: HostName | None = attrs.field(
        default=None,
        metadata=option("the name of this node for feature flags", applies=Applies.LIVE),
    )
    environment: Environment | None = attrs.field(
        default=None,
        metadata=option(
            'the purpose of the machine ("Environments and profiles"). `"production"` refuses options for '
            'development; `"staging"` warns of them',
            applies=Applies.LIVE,
        ),
    )
    profile: Profile | None = attrs.field(
        default=None,
        metadata=option(
            'the balance between throughput, latency and resources ("Environments and profiles")',
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class FlagsConfig:
    """The feature flags. Each has an owner, and a date by which it is removed."""

    engine_compare: Rollout = attrs.field(
        default=Rollout(),
        metadata=option(
            "the share of the blocks that the second execution client executes for comparison with the first "
            '([operating.md](operating.md), "Comparing two clients")',
            {"flag": FlagFacts("execution", date(2027, 12, 31), "block")},
            applies=Applies.LIVE,
        ),
    )
    engine_prefer_second: Rollout = attrs.field(
        default=Rollout(),
        metadata=option(
            "the nodes that use the second execution client while both are level",
            {"flag": FlagFacts("execution", date(2027, 12, 31), "node")},
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class ChainConfig:
    """The chain, and this node's role in it. A node without `authority_key_file` is a follower."""

    spec: Path = attrs.field(
        metadata=option('the chain specification (docs/configuration.md, "Chain specification")', INPUT_FILE)
    )
    authority_key_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the file with the BLS key of this node's authority (`alysd keys new bls` makes one). The file must "
            "have mode 0600, or mode 0440 and the owner root, as Kubernetes mounts secrets with an `fsGroup`. If "
            "this option is not set, the node is a follower: it checks and keeps blocks, and makes none",
            INPUT_FILE,
        ),
    )


@attrs.frozen
class EngineConfig:
    """The execution client: the embedded engine, or a separate client over the Engine API."""

    mode: Literal["embedded", "engine-api"] = attrs.field(
        default="embedded",
        metadata=option(
            '`"embedded"`: an execution engine inside the node, for development; needs `alysd[embedded]`. '
            '`"engine-api"`: geth, Reth or another client over the Engine API'
        ),
    )
    url: HttpUrl | None = attrs.field(
        default=None, metadata=option('the URL of the client\'s public RPC; required with `"engine-api"`')
    )
    engine_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option('the URL of the client\'s authenticated port; required with `"engine-api"`'),
    )
    jwt_secret_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            'the file with the secret that node and client share: 32 bytes in hex; required with `"engine-api"`',
            INPUT_FILE,
        ),
    )
    second_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option("the URL of the public RPC of a second client; it needs the two next options"),
    )
    second_engine_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option(
            "the URL of the authenticated port of a second client, which is used while the first fails "
            '([operating.md](operating.md), "A second execution client")'
        ),
    )
    second_jwt_secret_file: Path | None = attrs.field(
        default=None,
        metadata=option("the file with the secret that node and second client share: 32 bytes in hex", INPUT_FILE),
    )
    keep_states: Literal["recent", "all"] = attrs.field(
        default="recent",
        metadata=option(
            'which states the embedded engine keeps. `"recent"`: the states after the last final block, after the '
            '128 blocks below it, and after all blocks above it. `"all"`: every state '
            """(docs/operating.md, "The embedded engine's database")"""
        ),
    )


@attrs.frozen
class ApiConfig:
    """The addresses of the node's servers, and the names by which clients may call them."""

    address: ListenAddress = attrs.field(
        default=ListenAddress("127.0.0.1", 3000),
        metadata=option("JSON-RPC of Alys (docs/json-rpc.md)", restarts="alys server"),
    )
    ethereum_address: ListenAddress = attrs.field(
        default=ListenAddress("127.0.0.1", 8545),
        metadata=option("Ethereum RPC of the embedded engine, HTTP and WebSocket", restarts="ethereum server"),
    )
    operator_address: ListenAddress | None = attrs.field(
        default=None,
        metadata=option(
            "a separate address for /metrics, /health, /status and /supervision; if not set, they are on "
            "`api.address`"
        ),
    )
    allowed_hosts: tuple[HostName, ...] = attrs.field(
        default=(),
        metadata=option(
            "host names by which clients call these servers, such as the name of a proxy or a Kubernetes service. "
            "IP addresses and `localhost` are always allowed. Requests for other names get status 421, because a "
            "web page can bind its own name to this machine's address (DNS rebinding). Pages of these hosts may "
            "also send requests; those of other origins get status 403",
            unset="`[]`",
            applies=Applies.LIVE,
        ),
    )
    max_requests: int = attrs.field(
        default=256,
        metadata=option(
            "the number of requests that `api.address` serves at the same time. Further requests get status 503",
            between(16, 4096),
            unit="requests",
            applies=Applies.LIVE,
        ),
    )
    buffer_mib: int = attrs.field(
        default=64,
        metadata=option(
            "the memory for the bodies of requests that `api.address` receives, and as much for its responses. "
            "Further requests get status 503; connections of slow clients are closed",
            between(8, 4096),
            unit="MiB",
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class NetworkConfig:
    """The peer-to-peer network, which is used if `address` is set. It needs `alysd[network]`.

    By default `peers` are the chain's bootnodes (`AlysConfig.with_bootnodes`).
    """

    address: ListenAddress | None = attrs.field(
        default=None,
        metadata=option('the address at which this node listens for peers, such as `"0.0.0.0:9333"`'),
    )
    peers: tuple[PeerAddress, ...] = attrs.field(
        default=(),
        metadata=option(
            "the peers to which the node keeps a connection: multiaddresses such as "
            "`/ip4/192.0.2.7/tcp/9333/p2p/16Uiu2HA…`, with `ip4`, `ip6` or `dns`. `alysd keys show network.key` "
            "prints the id of a peer. Name all members of the federation here; a node leaves out its own entry. "
            "These peers can always connect, at most 64",
            unset="`bootnodes` of the chain",
        ),
    )
    key_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the key that identifies this node to its peers (`alysd keys new network`), with the file mode of "
            "`chain.authority_key_file`. If not set, the node makes `network.key` in its data folder",
            INPUT_FILE,
        ),
    )
    max_inbound: int = attrs.field(
        default=32,
        metadata=option(
            "the number of other peers that may connect. Each takes up to 6 MiB of memory",
            between(0, 64),
            unit="peers",
        ),
    )
    checkpoint: Checkpoint | None = attrs.field(
        default=None,
        metadata=option(
            "a final block that you trust, as `getblockbyheight` of a node that you trust shows it. The node "
            "syncs only the chain that contains this block, and is not synced before it has the block "
            '(docs/operating.md, "A checkpoint")'
        ),
    )


@attrs.frozen
class BitcoinConfig:
    """The Bitcoin nodes that the peg uses, of which the second is used while the first does not answer."""

    url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option(
            "the URL of the Bitcoin node's JSON-RPC, such as `http://127.0.0.1:8332`. The URL may have a user and "
            "a password, which `alysd` never shows"
        ),
    )
    cookie_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the `.cookie` file in the data folder of the Bitcoin node. `alysd` reads it before each call, "
            "because the Bitcoin node writes another one at each start. A file of your own with `user:password` "
            "works too",
            LATER_FILE,
        ),
    )
    second_url: HttpUrl | None = attrs.field(
        default=None,
        metadata=option(
            "as `bitcoin.url`, for a second Bitcoin node, which is used while the first does not answer"
        ),
    )
    second_cookie_file: Path | None = attrs.field(
        default=None, metadata=option("as `bitcoin.cookie_file`, for the second Bitcoin node", LATER_FILE)
    )


@attrs.frozen
class PegConfig:
    """The key with which this member of the federation signs payments of bitcoin, or the signer that has the key.

    A node without a key gathers the signatures of others.
    """

    key_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            'the member\'s Bitcoin key (see "Key files"). It needs `bitcoin.url`: without a Bitcoin node, the '
            "member would not see that the peg is halted",
            INPUT_FILE,
        ),
    )
    passphrase_file: Path | None = attrs.field(
        default=None,
        metadata=option(
            "a file with mode 0600 whose first line is the passphrase of an encrypted `peg.key_file`", INPUT_FILE
        ),
    )
    hourly_limit_sat: Sat | None = attrs.field(
        default=None,
        metadata=option(
            "the sum that the payments signed within an hour may pay together, Bitcoin fees included; a newer "
            "version of a payment does not count again. A payment that would exceed the limit is signed later. "
            "A payment that is larger than the limit is never signed: raise the limit then. Choose a value above "
            "what the whole chain pays in a busy hour",
            between(1, MAX_SAT),
            unit="satoshi",
            unset="no limit",
            applies=Applies.LIVE,
        ),
    )
    signer: SignerAddress | None = attrs.field(
        default=None,
        metadata=option(
            "the address of an `alysd signer`, which has the member's Bitcoin key in place of `peg.key_file`: "
            '`unix:` and an absolute path, or `tls://host:port` (docs/peg.md, "A signer on another machine"). It '
            "needs `bitcoin.url` and `chain.authority_key_file`"
        ),
    )
    signer_certificate: Path | None = attrs.field(
        default=None,
        metadata=option(
            "with a TLS address: the certificate (PEM) that this node shows to its signer", INPUT_FILE
        ),
    )
    signer_key: Path | None = attrs.field(
        default=None,
        metadata=option(
            "with a TLS address: the key of this certificate, in a file with mode 0600 and without a password",
            INPUT_FILE,
        ),
    )
    signer_authority: Path | None = attrs.field(
        default=None,
        metadata=option(
            "with a TLS address: the certificate of the authority that has signed the signer's, or the signer's "
            "own self-signed one. The signer's certificate must name the host of `peg.signer`",
            INPUT_FILE,
        ),
    )


@attrs.frozen
class GovernanceConfig:
    """The governance, with which the node keeps a stream if `endpoints` is set. It needs `alysd[governance]`."""

    endpoints: tuple[ServerAddress, ...] = attrs.field(
        default=(),
        metadata=option(
            "the servers of the governance, such as `governance.example.org:50051`. The node keeps a stream to "
            "one of them, and tries them in turn ([governance.md](governance.md)); at most 8",
            unset="no governance",
        ),
    )
    node_id: NodeId | None = attrs.field(
        default=None,
        metadata=option("the name of this node at the governance; required with `governance.endpoints`"),
    )
    certificate: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the certificate (PEM) that this node shows to the governance; required with `governance.endpoints`",
            INPUT_FILE,
        ),
    )
    key: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the key of this certificate, in a file with mode 0600 and without a password; required with "
            "`governance.endpoints`",
            INPUT_FILE,
        ),
    )
    authority: Path | None = attrs.field(
        default=None,
        metadata=option(
            "the certificate of the authority that has signed the servers' certificates; required with "
            "`governance.endpoints`. A server's certificate must name its host",
            INPUT_FILE,
        ),
    )


@attrs.frozen
class StorageConfig:
    """The location of the database."""

    path: Path = attrs.field(
        default=Path("data"), metadata=option("the data folder: one node and one chain per folder")
    )

    @property
    def control_socket(self) -> Path:
        """The Unix socket of a running node, for `alysd actors`."""
        return self.path / "control.sock"

    @property
    def payment_record(self) -> Path:
        """The record of the payments that this node has signed as a member of the federation."""
        return self.path / "signed-payments"

    @property
    def governance_outbox(self) -> Path:
        """The requests that the governance has not acknowledged."""
        return self.path / "governance" / "outbox"

    @property
    def governance_proposals(self) -> Path:
        """The proposals of the governance."""
        return self.path / "governance" / "proposals"

    @property
    def network_key(self) -> Path:
        """The key that identifies the node to its peers, if `network.key_file` names no other."""
        return self.path / "network.key"


@attrs.frozen
class MiningConfig:
    """Merged mining: the internal miner, and the address that is paid."""

    internal: bool = attrs.field(
        default=False,
        metadata=option("mine inside the node; only for a development chain with an easy target"),
    )
    fee_recipient: EvmAddress | None = attrs.field(
        default=None,
        metadata=option(
            "the EVM address that receives the miner's fees of the internal miner and of `getauxblock` without "
            "arguments; required by the internal miner",
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class LoggingConfig:
    """The log: its minimum level and its format."""

    level: Literal["debug", "info", "warning", "error"] = attrs.field(
        default="info", metadata=option("the lowest level that is written", applies=Applies.LIVE)
    )
    format: Literal["auto", "text", "json"] = attrs.field(
        default="auto",
        metadata=option(
            '`"auto"`: text on a terminal, JSON lines otherwise. `NO_COLOR` is respected', applies=Applies.LIVE
        ),
    )


@attrs.frozen
class ReloadingConfig:
    """The reloading of this configuration by the running node."""

    watch: bool = attrs.field(
        default=False,
        metadata=option(
            "reload the configuration when its file has changed, and has then stayed the same for a second",
            applies=Applies.LIVE,
        ),
    )
    trial_seconds: int = attrs.field(
        default=30,
        metadata=option(
            "the length of the trial period after a reload: if a part of the node with changed options fails in "
            "this period, or the node becomes unhealthy, the reload is undone. 0: no trial",
            between(0, 3600),
            unit="seconds",
            applies=Applies.LIVE,
        ),
    )


@attrs.frozen
class TracingConfig:
    """The destination of OpenTelemetry traces of the node's slots; by default none are recorded.

    Both options need `alysd[traces]`.
    """

    endpoint: HttpUrl | None = attrs.field(
        default=None,
        metadata=option("a collector's URL for OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`"),
    )
    console: bool = attrs.field(default=False, metadata=option("every span as JSON on standard error"))


@attrs.frozen
class DevelopmentConfig:
    """Options for development chains."""

    keys_known_to_all: bool = attrs.field(
        default=False,
        metadata=option("the key files are published ones: their mode is not checked"),
    )
    accounts: bool = attrs.field(
        default=False,
        metadata=option(
            "every client of the Ethereum RPC may use the ten accounts of hardhat and anvil "
            "(`eth_sendTransaction`, `eth_sign`), whose keys everybody knows. Only on a chain of one node with "
            "the embedded engine; without effect for a follower and with `network.address`"
        ),
    )
    account_key_file: Path | None = attrs.field(
        default=None,
        metadata=option("the key of an account with a balance, which the node shows at start", INPUT_FILE),
    )


@attrs.frozen
class AlysConfig:
    """The complete configuration, merged and validated."""

    @property
    def accounts_open(self) -> bool:
        """Whether clients may use the development accounts: never on a chain with others."""
        alone = self.network.address is None and self.chain.authority_key_file is not None
        return self.development.accounts and alone and self.engine.mode == "embedded"

    @property
    def listeners(self) -> Mapping[str, ListenAddress]:
        """The addresses of the node's servers, by their keys."""
        named = {"api.address": self.api.address, "api.operator_address": self.api.operator_address}
        if self.engine.mode == "embedded":
            named["api.ethereum_address"] = self.api.ethereum_address
        named["network.address"] = self.network.address
        return {key: address for key, address in named.items() if address is not None}

    chain: ChainConfig
    node: NodeConfig = NodeConfig()
    engine: EngineConfig = EngineConfig()
    api: ApiConfig = ApiConfig()
    network: NetworkConfig = NetworkConfig()
    bitcoin: BitcoinConfig = BitcoinConfig()
    peg: PegConfig = PegConfig()
    governance: GovernanceConfig = GovernanceConfig()
    storage: StorageConfig = StorageConfig()
    mining: MiningConfig = MiningConfig()
    logging: LoggingConfig = LoggingConfig()
    reload: ReloadingConfig = ReloadingConfig()
    tracing: TracingConfig = TracingConfig()
    development: DevelopmentConfig = DevelopmentConfig()
    flags: FlagsConfig = FlagsConfig()

    def with_bootnodes(self, bootnodes: tuple[PeerAddress, ...]) -> Self:
        """This configuration, with the chain's `bootnodes` as peers if it has a network but names no peers."""
        if self.network.address is None or self.network.peers:
            return self
        return attrs.evolve(self, network=attrs.evolve(self.network, peers=bootnodes))


SECTIONS: Mapping[str, type[Any]] = {
    field.name: field.type for field in attrs.fields(AlysConfig) if field.type is not None
}
"""The class of each section, by the section's name in the file."""


def all_options() -> list[ConfigOption]:
    """Return all options, in the order of the documentation."""
    return [
        ConfigOption.of(f"{name}.{field.name}", field)
        for name, cls in SECTIONS.items()
        for field in attrs.fields(cls)
    ]
