"""The stream to the governance: its configuration, what a node sends and receives, and its state."""

from enum import Enum

import attrs

from alysd.types.hashes import BitcoinHash, BlockHash, BlsPublicKey, BlsSignature, EvmAddress, sha256
from alysd.types.units import Height, Sat

MAX_PROPOSAL_BYTES = 64 << 10
"""The largest `data` of a proposal that a node keeps."""

_ATTESTED = b"alysd/governance-proposal"


@attrs.frozen
class GovernanceEndpoint:
    """A server of the governance."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class GovernanceHostConfig:
    """The configuration of the governance host, which runs in a process of its own.

    `certificate`, `key` and `authority` are absolute paths of PEM files, read for each connection. `outbox` is
    the folder of the requests that the governance has not acknowledged. `public_key` is empty for a follower.
    """

    endpoints: tuple[GovernanceEndpoint, ...]
    certificate: str
    key: str
    authority: str
    outbox: str
    node_id: str
    version: str
    chain: str
    genesis: BlockHash
    public_key: bytes


class ProposalKind(Enum):
    """The kinds of proposals."""

    FEDERATION = "federation"
    PARAMETER = "parameter"
    EMERGENCY = "emergency"
    UPGRADE = "upgrade"


@attrs.frozen
class GovernanceProposal:
    """A proposal of the governance. `deadline` is the end of the vote, in Unix seconds."""

    id: str
    kind: ProposalKind
    data: bytes
    deadline: int
    votes: int

    @property
    def hash(self) -> bytes:
        """SHA-256 over all fields, 32 bytes: two proposals with one id differ in it."""
        name = self.id.encode()
        fixed = self.deadline.to_bytes(8, "little") + self.votes.to_bytes(4, "little")
        return sha256(
            len(name).to_bytes(2, "little") + name + self.kind.value.encode().ljust(16, b"\0") + fixed + self.data
        )


def attested_message(genesis: BlockHash, proposal: bytes) -> bytes:
    """The message that an authority signs to attest the proposal with this hash. No block has such a hash."""
    return sha256(genesis + sha256(_ATTESTED + proposal))


@attrs.frozen
class KeptProposal:
    """A proposal that this node keeps. `received` is in Unix seconds.

    `key` and `signature` are the attestation of this node's authority; a follower has none.
    """

    proposal: GovernanceProposal
    received: int
    key: BlsPublicKey | None = None
    signature: BlsSignature | None = None


@attrs.frozen
class PegInNotice:
    """A deposit that a block of Alys at `height` has credited, for the governance."""

    txid: BitcoinHash
    amount: Sat
    recipient: EvmAddress
    confirmations: int
    height: Height


@attrs.frozen
class PaymentToSign:
    """A version of a final payment in flight that lacks signatures, for the governance.

    `transaction` is the Bitcoin transaction without witness, and `amounts` are those of its inputs, in satoshi.
    Signatures of `needed` members are needed, and this node has those of `given`.
    """

    txid: BitcoinHash
    transaction: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    amounts: tuple[Sat, ...]
    needed: int
    given: int


@attrs.frozen
class NodeStatus:
    """This node's status, as the governance gets it."""

    health: str
    height: Height
    final: Height
    synced: bool
    peers: int


@attrs.frozen
class GovernanceLinkState:
    """The state of the connection to the governance, as its host sees it.

    `endpoint` is the server in use, or the one tried last. `reason` says why there is no connection. `waiting` is
    the number of requests in the outbox. The other numbers count since the start of the host's process: sent and
    received messages, connections, and the messages of the governance that were refused, by reason.
    """

    connected: bool
    endpoint: str
    reason: str
    waiting: int
    sent: int
    received: int
    connections: int
    refused: tuple[tuple[str, int], ...] = ()


@attrs.frozen
class GovernanceReport:
    """The stream as the operator sees it. `since` is the Unix time of the last change of `link.connected`."""

    link: GovernanceLinkState
    since: float
    proposals: int
    declined: tuple[tuple[str, int], ...]
