"""Log lines of `alysd mine`, which mines Bitcoin and Alys together. Durations are in seconds."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, short_hash
from alysd.types.hashes import AuxHash, BitcoinHash
from alysd.types.units import Height, Sat


@attrs.frozen
class MinedBlockAccepted(LogEvent):
    """The Bitcoin node accepted a mined block; `transactions` includes the coinbase."""

    name = "mined_block_accepted"

    height: int
    transactions: int
    hash: BitcoinHash

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"block {self.height} accepted   {self.transactions} tx   {short_hash(self.hash)}"


@attrs.frozen
class MinedBlockRefused(LogEvent):
    """The Bitcoin node rejected a mined block."""

    name = "mined_block_refused"
    level = logging.WARNING

    height: int
    reason: str

    def _line(self) -> tuple[str, str]:
        return "bitcoin", f"block {self.height} refused: {self.reason}"


@attrs.frozen
class ProofAccepted(LogEvent):
    """The Alys node accepted a proof of the work `hash`.

    The proof makes the blocks up to `height` final and pays `reward` sat.
    """

    name = "proof_accepted"

    height: Height
    reward: Sat
    hash: AuxHash

    def _line(self) -> tuple[str, str]:
        words = f"proof accepted for blocks up to {self.height}   {self.reward} sat   {short_hash(self.hash)}"
        return "alys", words


@attrs.frozen
class ProofRefused(LogEvent):
    """The Alys node rejected a proof of the work `hash`, which covers the blocks up to `height`."""

    name = "proof_refused"
    level = logging.WARNING

    height: Height
    hash: AuxHash
    reason: str

    def _line(self) -> tuple[str, str]:
        return "alys", f"proof refused for blocks up to {self.height}: {self.reason}"


@attrs.frozen
class MiningInterrupted(LogEvent):
    """A node that the miner needs does not answer, or answers with an error. The next try is in `retry_in` s."""

    name = "mining_interrupted"
    level = logging.WARNING

    reason: str
    retry_in: float

    def _line(self) -> tuple[str, str]:
        return "miner", f"{self.reason}; next attempt in {self.retry_in:g} s"


@attrs.frozen
class MiningResumed(LogEvent):
    """Mining continues after an interruption of `seconds`."""

    name = "mining_resumed"

    seconds: float

    def _line(self) -> tuple[str, str]:
        return "miner", f"continues after {self.seconds:.1f} s"
