"""The parameters and results of a simulation of blocks (eth_simulateV1), and its refusals."""

from collections.abc import Sequence

import attrs

from alysd.embedded.engine.overrides import NO_OVERRIDES, Overrides
from alysd.embedded.engine.values import CallRequest, CallResult, EvmLog, ExecutionBlock
from alysd.errors import Refused
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import ZERO_HASH, BlockHash

MAX_BLOCKS = 256
"""The maximum number of blocks after the base, as in geth. Blocks that the caller has left out count."""

MAX_BLOCK_CALLS, MAX_CALLS = 5_000, 10_000
"""The maximum number of calls in a block, and in all blocks, as in geth."""

SECONDS_PER_BLOCK = 12
"""The time between two blocks if the caller says nothing, as in geth."""

MAX_TIME = 2**64 - 1
"""The largest timestamp of a header, in Unix seconds. geth goes on with small ones after it."""

CLIENT_LIMIT, BLOCK_NUMBER, BLOCK_TIME = -38026, -38020, -38021
BLOCK_GAS_LIMIT, TIMEOUT, INVALID = -38015, -32016, -32602
"""The error codes of the method (execution-apis, eth_simulateV1)."""


@attrs.frozen(str=False)
class SimulationRefused(Refused):
    """The simulation cannot be made; the message is geth's."""

    code: int
    message: str

    def __str__(self) -> str:
        return self.message


@attrs.frozen
class SimulatedCall:
    """A call as a transaction of a simulated block. With `legacy` it has type 0, and otherwise type 2.

    `nonce` is that of the state if it is None.
    """

    request: CallRequest
    nonce: int | None = None
    legacy: bool = False


@attrs.frozen
class SimulatedBlock:
    """A block to simulate: the changes before it, its calls, and the values that no rule gives."""

    overrides: Overrides = NO_OVERRIDES
    calls: tuple[SimulatedCall, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    beacon_root: BlockHash = ZERO_HASH


@attrs.frozen
class SimulationOptions:
    """`transfers` adds a log for each transfer of wei. `validation` checks nonces and fees as a block does.

    Without validation the base fee is 0, unless the caller gives one.
    """

    transfers: bool = False
    validation: bool = False


@attrs.frozen
class SimulatedCallResult:
    """The result of a call. `peak_gas` is the gas that it used before refunds.

    `capped` says that the gas was reduced to what is left for the request.
    """

    result: CallResult
    peak_gas: int
    logs: tuple[EvmLog, ...]
    capped: bool


@attrs.frozen
class SimulatedBlockResult:
    """A simulated block, and the results of its calls, in order."""

    block: ExecutionBlock
    calls: tuple[SimulatedCallResult, ...]


def in_order(base: ExecutionHeader, blocks: Sequence[SimulatedBlock]) -> list[SimulatedBlock]:
    """All blocks with their numbers and times, and empty blocks where the caller has left numbers out.

    Raises `SimulationRefused` if numbers or times do not rise, or are too large, or if there are too many blocks.
    """
    found: list[SimulatedBlock] = []
    number, time = base.number, base.timestamp
    for block in blocks:
        wanted = block.overrides.block
        last = number + 1 if wanted.number is None else wanted.number
        if last <= number:
            raise SimulationRefused(BLOCK_NUMBER, f"block numbers must be in order: {last} <= {number}")
        if last - base.number > MAX_BLOCKS:
            raise SimulationRefused(CLIENT_LIMIT, "too many blocks")
        for between in range(number + 1, last):
            time += SECONDS_PER_BLOCK
            found.append(_placed(SimulatedBlock(), between, time))
        following = time + SECONDS_PER_BLOCK if wanted.timestamp is None else wanted.timestamp
        if max(time, following) > MAX_TIME:
            raise SimulationRefused(BLOCK_TIME, f"block timestamps must be at most {MAX_TIME}: {following}")
        if following <= time:
            raise SimulationRefused(BLOCK_TIME, f"block timestamps must be in order: {following} <= {time}")
        number, time = last, following
        found.append(_placed(block, number, time))
    return found


def _placed(block: SimulatedBlock, number: int, time: int) -> SimulatedBlock:
    placed = attrs.evolve(block.overrides.block, number=number, timestamp=time)
    return attrs.evolve(block, overrides=attrs.evolve(block.overrides, block=placed))
