"""A federation of real daemons on loopback, connected by libp2p, for the tests that need one."""

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trio

from alysd.config.bridge import bridge_account
from alysd.integrations.bls import public_key
from alysd.integrations.key_kinds import new_secret, public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.node_data import GUARD_FILE, RECORD_FILE
from alysd.integrations.payment_record import PaymentRecord
from alysd.integrations.possession import x_only_key
from alysd.integrations.signing_guard import write_first_guard
from alysd.testing.chain import authority_secret, bitcoin_secret, member_keys
from alysd.testing.config_files import CONF
from alysd.testing.daemon import DEVELOPMENT, Daemon, daemon
from alysd.testing.processes import free_ports
from alysd.types.peers import PeerAddress
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.hex import to_hex

CHAIN_ID = 121212


def write_chain(folder: Path, members: int, parameters: Mapping[str, object] | None = None) -> Path:
    """The development chain with this many members and other `parameters`; returns the specification's path."""
    keys = [member_keys(authority_secret(n), bitcoin_secret(n), CHAIN_ID) for n in range(members)]
    lists: Mapping[str, Sequence[bytes]] = {
        "authorities": [each.authority for each in keys],
        "authority_proofs": [each.authority_proof for each in keys],
        "federation_bitcoin_keys": [each.bitcoin_key for each in keys],
        "federation_bitcoin_proofs": [each.bitcoin_proof for each in keys],
    }
    text = (CONF / "chains" / "dev.toml").read_text()
    changed = {name: ["0x" + value.hex() for value in values] for name, values in lists.items()}
    for name, value in (changed | dict(parameters or {})).items():
        line = f"{name} = {json.dumps(value)}"
        text, count = re.subn(rf"^{name} = (\[.*?\]|[^\[].*?)$", line, text, flags=re.DOTALL | re.MULTILINE)
        assert count == 1, f"the development chain has no parameter {name}"
    path = folder / "dev.toml"
    path.write_text(text)
    (folder / "dev.genesis.json").write_text((CONF / "chains" / "dev.genesis.json").read_text())
    return path


@asynccontextmanager
async def federation(
    folder: Path,
    members: int,
    *,
    followers: int = 0,
    newcomers: int = 0,
    parameters: Mapping[str, object] | None = None,
    settings: Mapping[int, Sequence[str]] = MappingProxyType({}),
    peg: bool = False,
) -> AsyncGenerator[list[Daemon]]:
    """Run a daemon per member, each of which knows all other members. Then follow the `newcomers` and `followers`.

    Newcomers have keys of authorities that are not in the federation of the chain's start; the others know them.
    Followers know the members as the bootnodes of the chain, and nobody knows them. `parameters` are those of the
    chain, and `settings` are options of the daemon with this number. With `peg`, the chain has a peg, and the
    members have records without signed payments.
    """
    chain = write_chain(folder, members, parameters)
    if peg:
        genesis = folder / "dev.genesis.json"
        document = json.loads(genesis.read_text())
        document["alloc"] = {at: account for at, account in document["alloc"].items() if "code" in account}
        document["alloc"][to_hex(BRIDGE_ADDRESS)] = bridge_account(peg=True)
        genesis.write_text(json.dumps(document))
    members += newcomers
    following = folder / "follower.toml"
    following.write_text(f"[chain]\nspec = '{chain}'\n")
    ports = free_ports(members + followers)
    secrets = [new_secret("network") for _ in ports]
    peers = [
        PeerAddress("127.0.0.1", port, public_text("network", secret))
        for port, secret in zip(ports, secrets, strict=True)
    ]
    with chain.open("a") as file:
        file.write(f"bootnodes = {json.dumps([str(peer) for peer in peers[: members - newcomers]])}\n")
    async with AsyncExitStack() as stack:
        daemons: list[Daemon] = []
        for n in range(members + followers):
            write_key_file(folder / f"{n}.authority.key", "bls", authority_secret(n), "")
            write_key_file(folder / f"{n}.network.key", "network", secrets[n], peers[n].peer)
            others = ",".join(str(peer) for peer in peers[:members] if peer is not peers[n])
            own = (
                f"chain.spec={chain}",
                f"chain.authority_key_file={folder / f'{n}.authority.key'}",
                f"network.peers={others}",
            )
            daemons.append(
                await stack.enter_async_context(
                    daemon(
                        folder,
                        *(own if n < members else ()),
                        "mining.internal=false",
                        f"network.address=127.0.0.1:{ports[n]}",
                        f"network.key_file={folder / f'{n}.network.key'}",
                        *settings.get(n, ()),
                        config=DEVELOPMENT if n < members else following,
                        name=f"member{n}",
                        start=False,
                    )
                )
            )
        for n, each in enumerate(daemons[:members]):
            each.data.mkdir()
            write_first_guard(each.data / GUARD_FILE, public_key(authority_secret(n)))
            if peg:
                PaymentRecord.create(each.data / RECORD_FILE, x_only_key(bitcoin_secret(n)))
        async with trio.open_nursery() as nursery:
            for each in daemons:
                nursery.start_soon(each.start)
        yield daemons


async def height(member: Daemon) -> int:
    """The height of a member's head."""
    head: Mapping[str, Any] = await member.call("getheadblock")
    return int(head["height"])


async def until_at(members: Sequence[Daemon], wanted: int, seconds: float) -> None:
    """Wait until all members have a head at or above `wanted`."""
    with trio.fail_after(seconds):
        while min([await height(each) for each in members]) < wanted:  # noqa: ASYNC110  other processes have no event
            await trio.sleep(0.5)


async def same_chain(members: Sequence[Daemon], upto: int) -> None:
    """All members have the same block at each height."""
    for wanted in range(1, upto + 1):
        found = {(await member.call("getblockbyheight", wanted))["hash"] for member in members}
        assert len(found) == 1, f"the members have {len(found)} blocks at height {wanted}"
