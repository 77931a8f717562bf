"""Hostile peers as an independent program: it attacks the peer-to-peer port of a running node.

    python -m tests.integration.hostile_peers ADDRESS GENESIS ATTACK SECONDS

`ADDRESS` is a multiaddress with the node's id, `GENESIS` the hash of the genesis block as displayed. The last line
of the output is JSON: the connections that were opened, the messages that were sent, the connections that the node
has closed, and the median of the seconds after which it did.
"""

import json
import sys
from importlib import import_module
from statistics import median

import trio

from alysd.types.hashes import BlockHash
from alysd.wire.multiaddress import parse_peer_address
from tests.integration.gossip_attacks import GOSSIP_ATTACKS, false_answers, wrong_genesis
from tests.integration.libp2p_attacks import ATTACKS, Attack, Target

LIES = {"wrong_genesis": wrong_genesis, "false_answers": false_answers}

NAMES = (*ATTACKS, *GOSSIP_ATTACKS, *LIES)


async def attack(target: Target, genesis: BlockHash, name: str, seconds: float) -> None:
    """Repeat an attack for some seconds, and print what it has done."""
    known: dict[str, Attack] = {**ATTACKS, **GOSSIP_ATTACKS}

    async def lie(target: Target) -> None:
        await LIES[name](target, genesis)

    run = known.get(name, lie)
    with trio.move_on_after(seconds):
        while True:
            await run(target)
    record = target.record
    found = {
        "attack": name,
        "connections": record.connections,
        "messages": record.messages,
        "closed": len(record.closed),
        "closed_after": round(median(record.closed), 2) if record.closed else None,
    }
    print(json.dumps(found), flush=True)


def main(address: str, genesis: str, name: str, seconds: str) -> None:
    """Run the program."""
    import_module("alysd.integrations.libp2p")  # quietly, before the attacks import its parts
    peer = parse_peer_address(address)
    target = Target(peer.host, peer.port, peer.peer, genesis[:8])
    trio.run(attack, target, BlockHash(bytes.fromhex(genesis)[::-1]), name, float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
