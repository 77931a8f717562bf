"""The actors that the approval workflow uses."""

from contextlib import suppress
from typing import TypeVar

import attrs

from alysd.messages.block_import import BlockImport
from alysd.messages.bridge import Bridge
from alysd.messages.chain import Chain
from alysd.messages.engine import Engine
from alysd.messages.evidence import EvidenceKeeping
from alysd.messages.network import Network
from alysd.messages.storage import Storage
from alysd.messages.sync import Sync
from alysd.nurseries import Address, MailboxFull, Tell

P = TypeVar("P")


@attrs.frozen
class ApprovalPeers:
    """The actors that the workflow uses. *network*, *sync* and *evidence* need not run: tells are then dropped.

    `bridge` is None on a node that has no Bitcoin node.
    """

    chain: Address[Chain]
    engine: Address[Engine]
    block_import: Address[BlockImport]
    storage: Address[Storage]
    network: Address[Network]
    sync: Address[Sync]
    evidence: Address[EvidenceKeeping]
    bridge: Address[Bridge] | None


def offer(address: Address[P], message: Tell[P]) -> None:
    """Tell an actor, but drop the message if the actor does not run or its mailbox is full."""
    if address.gone is None:
        with suppress(MailboxFull):  # gossip is lossy anyway, and the next slot reports a missing block again
            address.tell(message)
