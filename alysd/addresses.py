"""The addresses of the node's actors, by which all parts of the node reach them."""

from collections.abc import Iterable
from typing import Any

import attrs

from alysd.config.actor_options import ActorCapacity
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


@attrs.frozen
class Addresses:
    """The addresses of the node's actors. They outlive restarts and exist before any actor runs.

    `CAPACITIES` of `alysd.config.actor_options` repeats the names and capacities.
    """

    storage: Address[Storage] = attrs.field(factory=lambda: Address("storage", capacity=1024))
    evidence: Address[EvidenceKeeping] = attrs.field(factory=lambda: Address("evidence", capacity=64))
    reader: Address[Reads] = attrs.field(factory=lambda: Address("reader", capacity=64))
    metrics: Address[Metrics] = attrs.field(factory=lambda: Address("metrics", capacity=1024))
    engine: Address[Engine] = attrs.field(factory=lambda: Address("engine", capacity=64))
    first_client: Address[Engine] = attrs.field(factory=lambda: Address("first client", capacity=64))
    second_client: Address[Engine] = attrs.field(factory=lambda: Address("second client", capacity=64))
    chain: Address[Chain] = attrs.field(factory=lambda: Address("chain", capacity=1024))
    auxpow: Address[MergedMining] = attrs.field(factory=lambda: Address("auxpow", capacity=256))
    block_import: Address[BlockImport] = attrs.field(factory=lambda: Address("block import", capacity=64))
    approval: Address[ApprovalGathering] = attrs.field(factory=lambda: Address("approval", capacity=256))
    bridge: Address[Bridge] = attrs.field(factory=lambda: Address("bridge", capacity=64))
    bitcoin_watch: Address[BitcoinWatch] = attrs.field(factory=lambda: Address("bitcoin watch", capacity=64))
    peer_host: Address[PeerHost] = attrs.field(factory=lambda: Address("peer host", capacity=256))
    network: Address[Network] = attrs.field(factory=lambda: Address("network", capacity=1024))
    peer_requests: Address[PeerRequests] = attrs.field(factory=lambda: Address("peer requests", capacity=64))
    federation: Address[PegSigning] = attrs.field(factory=lambda: Address("federation", capacity=256))
    updates: Address[FederationUpdates] = attrs.field(factory=lambda: Address("federation updates", capacity=64))
    sync: Address[Sync] = attrs.field(factory=lambda: Address("sync", capacity=64))
    governance_host: Address[GovernanceHost] = attrs.field(factory=lambda: Address("governance host", capacity=64))
    governance: Address[GovernanceStream] = attrs.field(factory=lambda: Address("governance stream", capacity=64))
    configuration: Address[Configuration] = attrs.field(factory=lambda: Address("configuration", capacity=8))


def addresses_with(capacities: Iterable[ActorCapacity]) -> Addresses:
    """Make the addresses, with these capacities of mailboxes instead of the usual ones."""
    usual, chosen = Addresses(), {one.name: one.messages for one in capacities}
    fields = {field.name: getattr(usual, field.name) for field in attrs.fields(Addresses)}
    changed: dict[str, Any] = {
        key: Address(address.name, capacity=chosen[address.name])
        for key, address in fields.items()
        if address.name in chosen
    }
    return attrs.evolve(usual, **changed)
