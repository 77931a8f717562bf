"""eth_getLogs, bounded in blocks and in results."""

import attrs

from alysd.api.jsonrpc import INVALID_PARAMS, SERVER_ERROR, Method, RpcError
from alysd.api.params import Params
from alysd.embedded.engine.logs import TooManyLogs
from alysd.embedded.engine.values import FoundLog
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.requests import BlockReference, LogQuery, log_query
from alysd.embedded.rpc.views import View, log_view

LIMIT_EXCEEDED = -32005
"""Error code for a query that finds too much (EIP-1474)."""


@attrs.frozen
class LogMethods:
    """eth_getLogs."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """List the methods by name."""
        return {"eth_getLogs": Method(self.logs, 1, large=True)}

    async def logs(self, params: Params) -> list[View]:
        """Give the logs of a block, or of a range of canonical blocks."""
        query = params.required(0, log_query)
        return await self.find(query)

    async def find(self, query: LogQuery) -> list[View]:
        """Find and show the logs that a query means. Raises `RpcError` for blocks not there, or too many."""
        found = await self.backend.read(lambda: self._find(query))
        return [log_view(log) for log in found]

    def _find(self, query: LogQuery) -> list[FoundLog]:
        reader = self.backend.engine.reader
        if query.at is not None:
            header = reader.header(query.at)
            if header is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            return reader.logs_of(header, query.wanted)
        first, last = self._range(query)
        try:
            return reader.logs(first, last, query.wanted, self.backend.limits.logs)
        except TooManyLogs as error:
            raise RpcError(LIMIT_EXCEEDED, str(error)) from error

    def _range(self, query: LogQuery) -> tuple[int, int]:
        """Turn tags into numbers and check the range."""
        if "pending" in (query.first, query.last):
            raise RpcError(INVALID_PARAMS, "pending logs are not supported")
        head = self.backend.engine.reader.head().number
        first, last = self._number(query.first), self._number(query.last)
        if first > last:
            raise RpcError(INVALID_PARAMS, "invalid block range params")
        if last > head:
            raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
        most = self.backend.limits.log_blocks
        if last - first >= most:
            raise RpcError(INVALID_PARAMS, f"exceed maximum block range {most}")
        return first, last

    def _number(self, reference: BlockReference) -> int:
        return reference if isinstance(reference, int) else self.backend.state_at(reference).number
