"""The methods of hardhat and anvil that make blocks, move the clock, and change states and accounts.

They exist only on a chain whose blocks are made on demand, in the namespaces in which the clients call them.
Results are those of hardhat.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import attrs

from alysd.api.hex_values import MAX_UINT64, address, boolean, data, hash32, kind, quantity, storage_key
from alysd.api.jsonrpc import Handler, InvalidParams, Method, Params
from alysd.embedded.on_demand.account_change import AccountChange
from alysd.embedded.on_demand.demand_chain import DemandChain
from alysd.embedded.on_demand.demand_clock import MAX_TIMESTAMP
from alysd.embedded.pool.transaction_pool import TransactionPool
from alysd.embedded.rpc.requests import object_of
from alysd.errors import Malformed

MAX_BLOCKS = 4_096
"""The most blocks of one request. Each takes a few milliseconds, and a request has 30 s."""

MAX_CODE = 128 * 1024
"""The most bytes of code that a client may give an account: five times the limit of a contract (EIP-170)."""

_WHOLE = re.compile("[0-9]{1,20}")

_HARDHAT = ("hardhat", "anvil")


@attrs.frozen
class DemandMethods:
    """The methods of hardhat and anvil. `client` is the answer of web3_clientVersion elsewhere."""

    chain: DemandChain
    pool: TransactionPool
    client: str

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "web3_clientVersion": Method(self.client_version),
            **_named(("evm", "anvil"), self._time_methods()),
            **_named(("evm", "hardhat", "anvil"), self._mining_methods()),
            **_named(_HARDHAT, self._state_methods()),
            "hardhat_mine": Method(self.mine_many, 2),
            "anvil_mine": Method(self.mine_many, 2),
            "evm_mine": Method(self.mine_one, 1),
            "evm_setIntervalMining": Method(self.set_interval_milliseconds, 1),
            "hardhat_setIntervalMining": Method(self.set_interval_milliseconds, 1),
            "anvil_setIntervalMining": Method(self.set_interval_seconds, 1),
            "anvil_autoImpersonateAccount": Method(self.impersonate_all, 1),
        }

    def _time_methods(self) -> Mapping[str, tuple[Handler, int]]:
        return {
            "increaseTime": (self.increase_time, 1),
            "setNextBlockTimestamp": (self.set_next_timestamp, 1),
            "setBlockTimestampInterval": (self.space_blocks, 1),
            "removeBlockTimestampInterval": (self.unspace_blocks, 0),
            "snapshot": (self.snapshot, 0),
            "revert": (self.revert, 1),
        }

    def _mining_methods(self) -> Mapping[str, tuple[Handler, int]]:
        return {"setAutomine": (self.set_automine, 1), "getAutomine": (self.get_automine, 0)}

    def _state_methods(self) -> Mapping[str, tuple[Handler, int]]:
        return {
            "setBalance": (self.set_balance, 2),
            "setCode": (self.set_code, 2),
            "setNonce": (self.set_nonce, 2),
            "setStorageAt": (self.set_storage, 3),
            "impersonateAccount": (self.impersonate, 1),
            "stopImpersonatingAccount": (self.stop_impersonating, 1),
            "dropTransaction": (self.drop, 1),
            "reset": (self.reset, 1),
        }

    async def client_version(self, _params: Params) -> str:
        """The program's name, after a name that tells hardhat's helpers that they can control the chain."""
        return f"anvil/{self.client}"

    async def mine_one(self, params: Params) -> str:
        """Make a block, at a timestamp if one is given."""
        timestamp = params.optional(0, seconds, None)
        if timestamp is not None:
            self.chain.clock.pin(timestamp, self.chain.head.timestamp)
        await self.chain.mine(1)
        return "0x0"

    async def mine_many(self, params: Params) -> bool:
        """Make some blocks. A second parameter is the number of seconds between them."""
        blocks = params.optional(0, number, 1)
        if blocks > MAX_BLOCKS:
            raise InvalidParams(f"params[0]: at most {MAX_BLOCKS} blocks in a request, got {blocks}")
        await self.chain.mine(blocks, params.optional(1, seconds, None))
        return True

    async def increase_time(self, params: Params) -> str:
        """Move the clock forward. The result is its whole distance from the machine's clock, in seconds."""
        self.chain.clock.advance(params.required(0, seconds), self.chain.head.timestamp)
        return str(self.chain.clock.offset)

    async def set_next_timestamp(self, params: Params) -> str:
        """Give the next block this timestamp, in Unix seconds."""
        timestamp = params.required(0, seconds)
        self.chain.clock.pin(timestamp, self.chain.head.timestamp)
        return str(timestamp)

    async def space_blocks(self, params: Params) -> bool:
        """Give each block from now on a timestamp so many seconds after the one before it."""
        found = params.required(0, seconds)
        if not found:
            raise InvalidParams("params[0]: blocks must be at least 1 second apart, got 0")
        self.chain.clock.space(found)
        return True

    async def unspace_blocks(self, _params: Params) -> bool:
        """Let the timestamps of blocks follow the clock again."""
        self.chain.clock.space(None)
        return True

    async def snapshot(self, _params: Params) -> str:
        """Remember the state of the chain, its clock and the pool; the result is the number for `revert`."""
        return hex(await self.chain.snapshot())

    async def revert(self, params: Params) -> bool:
        """Return to a snapshot, which is then forgotten; false if there is none with this number."""
        return await self.chain.revert(params.required(0, number))

    async def set_automine(self, params: Params) -> bool:
        """Make a block with each transaction, or only when asked."""
        self.chain.automine = params.required(0, boolean)
        return True

    async def get_automine(self, _params: Params) -> bool:
        """Whether each transaction makes a block."""
        return self.chain.automine

    async def set_interval_milliseconds(self, params: Params) -> bool:
        """Make a block every so many milliseconds; 0 stops that."""
        return self._mine_every(params.required(0, seconds) / 1000)

    async def set_interval_seconds(self, params: Params) -> bool:
        """Make a block every so many seconds; 0 stops that."""
        return self._mine_every(float(params.required(0, seconds)))

    def _mine_every(self, interval: float) -> bool:
        self.chain.mine_every(interval or math.inf)
        return True

    async def set_balance(self, params: Params) -> bool:
        """Set an account's balance, in wei."""
        change = AccountChange(balance=params.required(1, quantity))
        return await self._change(params, change)

    async def set_code(self, params: Params) -> bool:
        """Set an account's code."""
        return await self._change(params, AccountChange(code=params.required(1, _code)))

    async def set_nonce(self, params: Params) -> bool:
        """Set an account's nonce."""
        return await self._change(params, AccountChange(nonce=params.required(1, _nonce)))

    async def set_storage(self, params: Params) -> bool:
        """Set 32 bytes of an account's storage."""
        value = int.from_bytes(params.required(2, storage_key), "big")
        return await self._change(params, AccountChange(slots={params.required(1, storage_key): value}))

    async def _change(self, params: Params, change: AccountChange) -> bool:
        await self.chain.change(params.required(0, address), change)
        return True

    async def impersonate(self, params: Params) -> bool:
        """Let clients send transactions of an account without its key."""
        self.chain.impersonate(params.required(0, address))
        return True

    async def stop_impersonating(self, params: Params) -> bool:
        """End what `impersonate` began."""
        self.chain.stop_impersonating(params.required(0, address))
        return True

    async def impersonate_all(self, params: Params) -> bool:
        """Let clients send transactions of every account without its key, or end that."""
        self.chain.impersonate_all = params.required(0, boolean)
        return True

    async def drop(self, params: Params) -> bool:
        """Remove a transaction from the pool; false if it is not there."""
        found = self.pool.get(params.required(0, hash32))
        if found is not None:
            self.pool.remove(found)
        return found is not None

    async def reset(self, params: Params) -> bool:
        """Return to the genesis block. A copy of another chain is not possible."""
        if params.optional(0, _forks, default=False):
            raise InvalidParams("params[0]: this node cannot copy another chain (forking)")
        await self.chain.reset()
        return True


def number(value: Any) -> int:
    """Read a whole number: a JSON number, or a string of decimal digits, or of hexadecimal ones after 0x."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, str):
        # ethers and hardhat pad some numbers with zeros.
        return quantity("0x" + (value[2:].lstrip("0") or "0") if value[:2] in ("0x", "0X") else value, MAX_UINT64)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_UINT64:
        raise Malformed(f"must be a whole number from 0 to {MAX_UINT64}, got {_shown(value)}")
    return value


def seconds(value: Any) -> int:
    """Read a time or a timestamp in seconds."""
    found = number(value)
    if found >= MAX_TIMESTAMP:
        raise Malformed(f"must be less than {MAX_TIMESTAMP} s, got {found}")
    return found


def _shown(value: Any) -> str:
    return str(value)[:40] if type(value) in (int, float) else kind(value)


def _nonce(value: Any) -> int:
    """Read a nonce below the last one, with which an account can send nothing (EIP-2681)."""
    return quantity(value, MAX_UINT64 - 1)


def _code(value: Any) -> bytes:
    found = data(value)
    if len(found) > MAX_CODE:
        raise Malformed(f"must be at most {MAX_CODE} bytes of code, got {len(found)}")
    return found


def _forks(value: Any) -> bool:
    """Whether the options of a reset ask for a copy of another chain. Some clients send them without one."""
    return bool(object_of(object_of(value).get("forking") or {}).get("jsonRpcUrl"))


def _named(spaces: tuple[str, ...], found: Mapping[str, tuple[Handler, int]]) -> dict[str, Method]:
    """The methods in each of these namespaces."""
    return {f"{space}_{name}": Method(call, most) for space in spaces for name, (call, most) in found.items()}
