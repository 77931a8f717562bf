"""Notices that the key of this authority approves blocks elsewhere.

Another node may have a copy of the key, or the signing guard may be an old copy. In both cases, this node could
approve a second block of a slot, or a block that the key's lock forbids. So it signs nothing from then on, also
after a restart, until its operator has run `alysd recover`.
"""

from collections.abc import Container

from alysd.consensus.federation import federation_at
from alysd.messages.log.base import log
from alysd.messages.log.chain import KeySeenElsewhere
from alysd.ports import Signer
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.units import Slot


class OwnKey:
    """Compares valid approvals of this authority with its signing guard. A follower has no `signer`."""

    def __init__(self, context: ChainContext, signer: Signer | None) -> None:
        self._context = context
        self._signer = signer

    async def imported(self, signed: SignedBlock, parent: ChainState) -> None:
        """Compare the valid approvals of a child of `parent` with the guard."""
        federation = federation_at(parent, self._context)
        keys = federation.signed_by(signed.approvals.signers)
        await self.approved(keys, signed.block.slot, signed.hash, federation)

    async def approved(
        self, keys: Container[BlsPublicKey], slot: Slot, block: BlockHash, federation: Federation
    ) -> None:
        """Compare the approvals of a block by the authorities with these keys with the guard.

        They are authorities of `federation`. Logs the first unknown approval.
        """
        if self._signer is None or self._signer.public_key not in keys:
            return
        own = federation.index_of(self._signer.public_key)
        if own is not None and await self._signer.saw(slot, block):
            log(KeySeenElsewhere(slot, own, self._signer.last.slot, block))
