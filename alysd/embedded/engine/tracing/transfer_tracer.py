"""The logs of a message, with one for each transfer of wei: geth's for eth_simulateV1 (internal/ethapi)."""

from alysd.embedded.engine.tracing.tracer import CallEnd, CallStart, TracedLog
from alysd.embedded.engine.tracing.words_tracer import WordsTracer
from alysd.embedded.engine.values import EvmLog
from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256

TRANSFER_ADDRESS = EvmAddress(b"\xee" * 20)
"""The address that stands for the chain's own money (ERC-7528)."""

_TRANSFER = keccak256(b"Transfer(address,address,uint256)")


class TransferTracer(WordsTracer):
    """Collects the logs of the messages that do not fail, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: tuple[EvmLog, ...] = ()
        self._frames: list[list[EvmLog]] = []

    def enter(self, call: CallStart) -> None:
        """Begin a message, with a log of the wei that it moves."""
        self._frames.append([])
        if call.value and call.type not in ("DELEGATECALL", "CALLCODE"):
            topics = (_TRANSFER, call.sender.rjust(32, b"\0"), call.to.rjust(32, b"\0"))
            self._frames[-1].append(EvmLog(TRANSFER_ADDRESS, topics, call.value.to_bytes(32, "big")))

    def leave(self, end: CallEnd) -> None:
        """Keep the logs of a message that has not failed."""
        super().leave(end)
        logs = self._frames.pop()
        if end.error is not None:
            return
        if self._frames:
            self._frames[-1] += logs
        else:
            self.logs = tuple(logs)

    def log(self, log: TracedLog, depth: int) -> None:
        """Add a log of the message at `depth`."""
        self._frames[depth].append(EvmLog(EvmAddress(log.address), log.topics, log.data))
