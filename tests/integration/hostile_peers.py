"""Hostile peers as an independent program: it attacks the peer-to-peer port of a running node.

    python -m tests.integration.hostile_peers ADDRESS GENESIS SECONDS ATTACK[=COUNT] ...

`ADDRESS` is a multiaddress with the node's id, `GENESIS` the hash of the genesis block as displayed. The attacks
run side by side. Each lasts until it has done `COUNT` of what `COUNTED` says, at most `SECONDS`. Without a count
it lasts `SECONDS`, and longer on a busy machine if the node has not closed a connection of it yet. Then the output
is a line of JSON per attack: the connections that were opened, how many of them were authenticated, the messages
that were sent, the connections that the node has closed, and the median of the seconds after which it did.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from statistics import median

import trio

from alysd.types.hashes import BlockHash
from alysd.wire.multiaddress import parse_peer_address
from tests.integration.gossip_attacks import GOSSIP_ATTACKS, false_answers, wrong_genesis
from tests.integration.libp2p_attacks import ATTACKS, Attack, Record, Target

LIES = {"wrong_genesis": wrong_genesis, "false_answers": false_answers}

NAMES = (*ATTACKS, *GOSSIP_ATTACKS, *LIES)

COUNTED: Mapping[str, Callable[[Record], int]] = {
    "authenticated_crowd": lambda record: record.authenticated,
}
"""The unit of an attack's count, unless it is its messages."""


PATIENT = ("requests_of_no_kind",)
"""Attacks that end their connections themselves: a node answers 20 requests per second, and lets others wait."""

BUSY_SECONDS = 45.0
"""How much longer an attack lasts at most: a handshake takes 20 ms on an idle machine, seconds on a busy one."""


async def attack(target: Target, genesis: BlockHash, name: str, seconds: float, count: int | None) -> None:
    """Repeat an attack, and print what it has done."""
    known: dict[str, Attack] = {**ATTACKS, **GOSSIP_ATTACKS}
    record = target.record
    counted = COUNTED.get(name, lambda record: record.messages)

    async def lie(target: Target) -> None:
        await LIES[name](target, genesis)

    async def repeat() -> None:
        while True:
            await known.get(name, lie)(target)

    def done() -> bool:
        if count is not None:
            return counted(record) >= count
        return bool(record.closed) or name in PATIENT

    async with trio.open_nursery() as nursery:
        nursery.start_soon(repeat)
        await trio.sleep(seconds if count is None else 0)
        with trio.move_on_after(BUSY_SECONDS if count is None else seconds):
            while not done():  # noqa: ASYNC110  the attacks set no event
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    found = {
        "attack": name,
        "connections": record.connections,
        "authenticated": record.authenticated,
        "messages": record.messages,
        "closed": len(record.closed),
        "closed_after": round(median(record.closed), 2) if record.closed else None,
    }
    print(json.dumps(found), flush=True)


async def attacks(target: Target, genesis: BlockHash, seconds: float, orders: Sequence[str]) -> None:
    """Run attacks side by side, each with a record of its own."""
    async with trio.open_nursery() as nursery:
        for order in orders:
            name, _, count = order.partition("=")
            own = Target(target.host, target.port, target.peer, target.chain)
            nursery.start_soon(attack, own, genesis, name, seconds, int(count) if count else None)


def main(address: str, genesis: str, seconds: str, *orders: str) -> None:
    """Run the program."""
    import_module("alysd.integrations.libp2p")  # quietly, before the attacks import its parts
    peer = parse_peer_address(address)
    target = Target(peer.host, peer.port, peer.peer, genesis[:8])
    trio.run(attacks, target, BlockHash(bytes.fromhex(genesis)[::-1]), float(seconds), orders)


if __name__ == "__main__":
    main(*sys.argv[1:])
