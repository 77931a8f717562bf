"""The sections of the configuration about other programs: clients, peers, Bitcoin, the governance.

Paths marked `INPUT_FILE` or `LATER_FILE` are files to read, relative to the folder of the file that names them.
"""

from pathlib import Path

import attrs

from alysd.config.addresses import HostName, HttpUrl, ListenAddress, NodeId, ServerAddress, SignerAddress
from alysd.config.options import INPUT_FILE, LATER_FILE, Applies, option
from alysd.types.bounds import between
from alysd.types.checkpoint import Checkpoint
from alysd.types.peers import PeerAddress
from alysd.types.units import MAX_SAT, Sat


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
            "These peers can always connect, at most 64. A reload connects to new peers, and closes the "
            "connections to those that are no longer named",
            unset="`bootnodes` of the chain",
            applies=Applies.LIVE,
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
            "the number of other peers that may connect. Each takes up to 6 MiB of memory. With a smaller number, "
            "those that are connected may stay",
            between(0, 64),
            unit="peers",
            applies=Applies.LIVE,
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
