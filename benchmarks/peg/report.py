"""The times that users wait: a deposit's last confirmation to its mint, a final burn to its payment."""

from collections.abc import Mapping, Sequence
from statistics import median

import httpx

from alysd.testing.processes import call_json_rpc
from benchmarks.federation.watch import Watch
from benchmarks.peg.troubles import BitcoinMiner
from benchmarks.peg.users import WALLET, Users

GWEI_PER_SAT = 10
MOST_TRANSACTIONS = 10_000


async def latencies(
    users: Users, miner: BitcoinMiner, watch: Watch, client: httpx.AsyncClient, url: str, confirmations: int
) -> str:
    """A table of the times in seconds."""
    rows = [
        (
            "last confirmation of a deposit to the block that mints it",
            await _mints(users, miner, client, url, confirmations),
        ),
        ("final burn to the payment at the Bitcoin node", await _payments(users, watch)),
    ]
    lines = ["| seconds | operations | median | p90 | most |", "| --- | --- | --- | --- | --- |"]
    for name, seconds in rows:
        ordered = sorted(seconds) or [0.0]
        p90 = ordered[int(0.9 * (len(ordered) - 1))]
        lines.append(f"| {name} | {len(seconds)} | {median(ordered):.1f} | {p90:.1f} | {ordered[-1]:.1f} |")
    return "\n".join(lines)


async def _mints(
    users: Users, miner: BitcoinMiner, client: httpx.AsyncClient, url: str, confirmations: int
) -> Sequence[float]:
    """Deposits that a block minted together with another one to the same recipient are left out."""
    minted: dict[tuple[str, int], int] = {}
    last = int(await call_json_rpc(client, url, "eth_blockNumber", ()), 16)
    for number in range(1, last + 1):
        block = await call_json_rpc(client, url, "eth_getBlockByNumber", (hex(number), False))
        for one in block["withdrawals"]:
            minted[one["address"], int(one["amount"], 16)] = int(block["timestamp"], 16)
    found: list[float] = []
    for deposit in users.deposits:
        at = minted.get((deposit.recipient, deposit.sat * GWEI_PER_SAT))
        known = await users.bitcoin.call("gettransaction", deposit.txid, wallet=WALLET)
        confirmed = miner.mined.get(known.get("blockheight", 0) + confirmations - 1)
        if at is not None and confirmed is not None:
            found.append(at - confirmed)
    return found


async def _payments(users: Users, watch: Watch) -> Sequence[float]:
    seen = await users.bitcoin.call("listtransactions", "*", MOST_TRANSACTIONS, wallet=WALLET)
    received: Mapping[str, int] = {one["address"]: one["timereceived"] for one in seen if "address" in one}
    found: list[float] = []
    for request in users.requests:
        final = next(
            (one.time for one in watch.samples if one.blocks and one.blocks["final"][0] >= request.height), None
        )
        if final is not None and request.address in received:
            found.append(received[request.address] - final)
    return found
