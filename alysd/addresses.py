"""The addresses of the node's actors, by which all parts of the node reach them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import attrs

from alysd.config.actor_options import CAPACITIES, ActorCapacity
from alysd.messages.approval import ApprovalGathering
from alysd.messages.auxpow import MergedMining
from alysd.messages.bitcoin_watch import BitcoinWatch
from alysd.messages.block_import import BlockImport
from alysd.messages.bridge import Bridge
from alysd.messages.chain import Chain
from alysd.messages.configuration import Configuration
from alysd.messages.engine import Engine
from alysd.messages.evidence import EvidenceKeeping
from alysd.messages.federation_update import FederationUpdates
from alysd.messages.governance import GovernanceHost, GovernanceStream
from alysd.messages.metrics import Metrics
from alysd.messages.network import Network, PeerRequests
from alysd.messages.peer_host import PeerHost
from alysd.messages.peg_signatures import PegSigning
from alysd.messages.reads import Reads
from alysd.messages.storage import Storage
from alysd.messages.sync import Sync
from alysd.nurseries import Address


def _usual(name: str) -> Address[Any]:
    """The address of the actor `name`, with the usual room of its mailbox."""
    return Address(name, capacity=CAPACITIES[name])


@attrs.frozen
class Addresses:
    """The addresses of the node's actors. They outlive restarts and exist before any actor runs."""

    storage: Address[Storage] = attrs.field(factory=partial(_usual, "storage"))
    evidence: Address[EvidenceKeeping] = attrs.field(factory=partial(_usual, "evidence"))
    reader: Address[Reads] = attrs.field(factory=partial(_usual, "reader"))
    metrics: Address[Metrics] = attrs.field(factory=partial(_usual, "metrics"))
    engine: Address[Engine] = attrs.field(factory=partial(_usual, "engine"))
    first_client: Address[Engine] = attrs.field(factory=partial(_usual, "first client"))
    second_client: Address[Engine] = attrs.field(factory=partial(_usual, "second client"))
    chain: Address[Chain] = attrs.field(factory=partial(_usual, "chain"))
    auxpow: Address[MergedMining] = attrs.field(factory=partial(_usual, "auxpow"))
    block_import: Address[BlockImport] = attrs.field(factory=partial(_usual, "block import"))
    approval: Address[ApprovalGathering] = attrs.field(factory=partial(_usual, "approval"))
    bridge: Address[Bridge] = attrs.field(factory=partial(_usual, "bridge"))
    bitcoin_watch: Address[BitcoinWatch] = attrs.field(factory=partial(_usual, "bitcoin watch"))
    peer_host: Address[PeerHost] = attrs.field(factory=partial(_usual, "peer host"))
    network: Address[Network] = attrs.field(factory=partial(_usual, "network"))
    peer_requests: Address[PeerRequests] = attrs.field(factory=partial(_usual, "peer requests"))
    federation: Address[PegSigning] = attrs.field(factory=partial(_usual, "federation"))
    updates: Address[FederationUpdates] = attrs.field(factory=partial(_usual, "federation updates"))
    sync: Address[Sync] = attrs.field(factory=partial(_usual, "sync"))
    governance_host: Address[GovernanceHost] = attrs.field(factory=partial(_usual, "governance host"))
    governance: Address[GovernanceStream] = attrs.field(factory=partial(_usual, "governance stream"))
    configuration: Address[Configuration] = attrs.field(factory=partial(_usual, "configuration"))


def addresses_with(capacities: Iterable[ActorCapacity]) -> Addresses:
    """Make the addresses, with these capacities of mailboxes instead of the usual ones."""
    usual: dict[str, Address[Any]] = attrs.asdict(Addresses(), recurse=False)
    chosen = {**CAPACITIES, **{one.name: one.messages for one in capacities}}
    return Addresses(**{
        key: Address[Any](one.name, capacity=chosen[one.name]) for key, one in usual.items()
    })  # fmt: skip
