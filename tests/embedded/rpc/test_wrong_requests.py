"""Random requests to every method: each is answered, and none with an error of this program."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs
import trio

from alysd.api.jsonrpc import Dispatcher, Method
from alysd.embedded.rpc.app import CODES, eth_methods
from alysd.embedded.rpc.backend import EthBackend, RpcLimits
from alysd.embedded.rpc.demand_methods import DemandMethods
from alysd.embedded.rpc.feed import ChainFeed
from alysd.types.hashes import EvmAddress
from tests.embedded.on_demand.chain import SENDER, on_demand
from tests.embedded.rpc.chain import NOBODY, RICH, eth_chain
from tests.thorough import cases

ANSWER_SECONDS = 60
INTERNAL_ERROR = -32603
ACCOUNTS = (RICH.address, NOBODY, "0x" + "00" * 19 + "0a", "0x000f3df6d732807ef1319fb7b8bb8522d0beac02")
QUANTITIES = ("0x0", "0x1", "0x5208", "0xf4240", "0xffffffffffffffff", "0x" + "f" * 64, "0x" + "f" * 65, "0x01")
WORDS = ("0x" + "00" * 32, "0x" + "77" * 32, "0x" + "ff" * 32)
CODES_OF_CONTRACTS = ("0x", "0x5f5ffd", "0x60016000556001600055", "0x5f5f5f5f5f305af1", "0xef", "0x5f5fa0", "0xz")
TAGS = ("latest", "pending", "earliest", "safe", "finalized", "nope")
ODD: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**30, "", "\ud83d", "callTracer", [], {}, [[]], {"x": 1})
FIELDS: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("from", "to", "address", "feeRecipient"), ACCOUNTS),
    **dict.fromkeys(("gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce"), QUANTITIES),
    **dict.fromkeys(("number", "time", "gasLimit", "baseFeePerGas", "balance", "txIndex", "limit"), QUANTITIES),
    **dict.fromkeys(("data", "input", "code"), CODES_OF_CONTRACTS),
    **dict.fromkeys(("blockHash", "prevRandao", "beaconRoot"), WORDS),
    **dict.fromkeys(("fromBlock", "toBlock", "blockNumber"), (*TAGS, *QUANTITIES)),
    "tracer": ("callTracer", "prestateTracer", "noTracer"),
    "timeout": ("5ms", "1h", "x"),
    "primaryType": ("M", "EIP712Domain"),
}
NESTED = (
    *("stateOverrides", "blockOverrides", "accessList", "topics", "tracerConfig", "calls", "blockStateCalls", "M"),
    *("types", "domain", "message", "stateDiff", "state", "storageKeys", "withdrawals", RICH.address),
)


@attrs.frozen
class Requests:
    """Makes requests to the methods with these names."""

    random: Random
    names: list[str]

    def body(self) -> bytes:
        name, count = self.random.choice(self.names), self.random.randrange(5)
        parameters = [self.value(0) for _ in range(count)]
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": parameters}).encode()

    def value(self, depth: int) -> Any:
        kinds: tuple[Callable[[int], Any], ...] = (self._usual, self._usual, self._odd, self._object, self._list)
        return self.random.choice(kinds if depth < 4 else kinds[:3])(depth)

    def _usual(self, _depth: int) -> Any:
        return self.random.choice(self.random.choice((ACCOUNTS, QUANTITIES, WORDS, CODES_OF_CONTRACTS, TAGS)))

    def _odd(self, _depth: int) -> Any:
        return self.random.choice(ODD)

    def _object(self, depth: int) -> Any:
        names = self.random.sample(sorted(FIELDS), self.random.randrange(6))
        found: dict[str, Any] = {name: self.random.choice(FIELDS[name]) for name in names}
        if self.random.random() < 0.6:
            found[self.random.choice(NESTED)] = self.value(depth + 1)
        return found

    def _list(self, depth: int) -> Any:
        return [self.value(depth + 1) for _ in range(self.random.randrange(3))]


def _requests(methods: Mapping[str, Method]) -> Requests:
    seed = Random().randrange(2**32)  # noqa: S311
    print(f"seed {seed}")
    return Requests(Random(seed), sorted(methods))  # noqa: S311


async def test_every_method_answers_any_request(tmp_path: Path) -> None:
    """An error that is not meant for the caller would be raised here, and end its connection."""
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=NOBODY, value=5)
        await chain.mine()
        keys = {EvmAddress(bytes.fromhex(RICH.address[2:])): bytes(RICH.key)}
        backend = EthBackend(chain.engine, chain.pool, RpcLimits(call_seconds=0.5), keys)
        methods = eth_methods(backend, ChainFeed(backend))
        dispatcher, requests = Dispatcher(methods, CODES), _requests(methods)
        for _ in range(cases(2_000, 100_000)):
            body = requests.body()
            print(body)
            with trio.fail_after(ANSWER_SECONDS):
                assert json.loads(await dispatcher.answer(body) or b"")["id"] == 1


async def test_a_chain_on_demand_goes_on_after_any_request() -> None:
    async with on_demand() as chain:
        execution = chain.execution
        table = DemandMethods(execution.chain, execution.pool, "client").table()
        requests = _requests({name: method for name, method in table.items() if "IntervalMining" not in name})
        for _ in range(cases(100, 3_000)):
            body = requests.body()
            print(body)
            answer = (await chain.client.post(chain.url, content=body)).json()
            assert answer.get("error", {}).get("code") != INTERNAL_ERROR
        await chain.rpc("hardhat_reset")
        await chain.rpc("evm_setAutomine", True)
        await chain.rpc("eth_sendTransaction", {"from": SENDER, "to": NOBODY, "value": "0x5"})
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x5"
