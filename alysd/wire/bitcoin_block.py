"""A parent block without its nonce: the header to search, and the block and its proof once a nonce is found."""

import attrs

from alysd.types.auxpow import AuxPow, BitcoinHeader, MerkleBranch
from alysd.types.bitcoin import BlockTemplate, CommitmentPlace
from alysd.wire.bitcoin_coinbase import BuiltCoinbase, build_coinbase, compact_size
from alysd.wire.bitcoin_merkle import merkle_branch, merkle_root

ONLY_CHAIN = MerkleBranch(siblings=(), index=0)
"""The chain branch of a parent block that commits to Alys alone: the commitment's root is the aux hash itself."""


@attrs.frozen
class ParentCandidate:
    """A parent block without its nonce. `header_start` is the first 76 of the header's 80 bytes."""

    template: BlockTemplate
    coinbase: BuiltCoinbase
    header_start: bytes

    def header(self, nonce: int) -> bytes:
        """The 80 bytes that are hashed."""
        return self.header_start + nonce.to_bytes(4, "little")

    def block(self, nonce: int) -> bytes:
        """The whole block, as `submitblock` takes it."""
        transactions = self.template.transactions
        return b"".join(
            (
                self.header(nonce),
                compact_size(1 + len(transactions)),
                self.coinbase.raw,
                *(transaction.raw for transaction in transactions),
            )
        )

    def auxpow(self, nonce: int) -> AuxPow:
        """The proof that this block, with this nonce, is of the one chain that its coinbase commits to."""
        raw = self.header(nonce)
        parent = BitcoinHeader(
            raw=raw,
            version=self.template.version,
            previous=self.template.previous,
            merkle_root=raw[36:68],
            time=self.template.time,
            bits=self.template.bits,
            nonce=nonce,
        )
        return AuxPow(
            coinbase=self.coinbase.stripped,
            parent_hash=parent.hash,
            coinbase_branch=merkle_branch(self._txids(), 0),
            chain_branch=ONLY_CHAIN,
            parent=parent,
        )

    def _txids(self) -> list[bytes]:
        return [self.coinbase.stripped.txid, *(transaction.txid for transaction in self.template.transactions)]


def build_candidate(
    template: BlockTemplate, payout_script: bytes, commitment: bytes, place: CommitmentPlace, extra_nonce: int
) -> ParentCandidate:
    """Complete `template` to a block that pays `payout_script` and commits to Alys in `place`.

    `commitment` is the 44 bytes of `consensus.auxpow.commitment`; `extra_nonce` as in `build_coinbase`.
    """
    coinbase = build_coinbase(template, payout_script, commitment, place, extra_nonce)
    txids = [coinbase.stripped.txid, *(transaction.txid for transaction in template.transactions)]
    header_start = (
        template.version.to_bytes(4, "little", signed=True)
        + template.previous
        + merkle_root(txids)
        + template.time.to_bytes(4, "little")
        + template.bits.to_bytes(4, "little")
    )
    return ParentCandidate(template, coinbase, header_start)
