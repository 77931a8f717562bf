"""The resources of the governance stream: the child of its host, the kept proposals, and the key that attests."""

from collections.abc import Callable
from functools import partial

import attrs

from alysd import __version__
from alysd.actors.governance_proposals import MOST_PROPOSALS, MOST_RECORD_BYTES
from alysd.governance_process import governance_process
from alysd.integrations.governance.records import RecordFolder
from alysd.messages.governance import GovernanceHost, GovernanceStream
from alysd.nurseries import Address, ChildSpec
from alysd.ports import KeptRecords, ProposalSigner
from alysd.types.governance import GovernanceEndpoint, GovernanceHostConfig
from alysd.validation import ValidNode

GovernanceHostFactory = Callable[[Address[GovernanceHost], Address[GovernanceStream]], ChildSpec]
"""Makes the child that runs the governance host behind the first address. It reports to the second.

The child is a process in a node, and an actor in a test."""


@attrs.frozen
class GovernanceResources:
    """The resources of the governance stream of a node. A follower has no `signer`, and attests nothing."""

    host: GovernanceHostFactory
    proposals: KeptRecords
    signer: ProposalSigner | None


def open_governance(valid: ValidNode, signer: ProposalSigner | None) -> GovernanceResources | None:
    """Open the records of the proposals; None without a governance. Call it in a worker thread.

    Raises `StoreError` if the disk fails.
    """
    section, storage, genesis = valid.config.governance, valid.config.storage, valid.genesis.context
    if not section.endpoints or None in (section.certificate, section.key, section.authority, section.node_id):
        return None
    config = GovernanceHostConfig(
        endpoints=tuple(GovernanceEndpoint(one.host, one.port) for one in section.endpoints),
        # The process has another working directory.
        certificate=str(section.certificate and section.certificate.absolute()),
        key=str(section.key and section.key.absolute()),
        authority=str(section.authority and section.authority.absolute()),
        outbox=str(storage.governance_outbox.absolute()),
        node_id=section.node_id or "",
        version=__version__,
        chain=genesis.spec.name,
        genesis=genesis.genesis,
        public_key=b"" if signer is None else signer.public_key,
    )
    proposals = RecordFolder.open(storage.governance_proposals, MOST_PROPOSALS, MOST_RECORD_BYTES)
    return GovernanceResources(partial(governance_process, config), proposals, signer)
