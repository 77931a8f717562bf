"""A federation of real daemons replaces a member while bitcoin goes in and out, and loses no satoshi."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.config.chain_spec import load_chain_spec
from alysd.config.update_file import update_text
from alysd.errors import ComponentError, NodeUnavailable, NotNow
from alysd.integrations.alys_node import AlysNodeRpc
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.possession import x_only_key
from alysd.peg.federation import output_script
from alysd.testing.blocks import MINER, mine
from alysd.testing.chain import bitcoin_secret
from alysd.testing.components import RPC_PASSWORD, RPC_USER
from alysd.testing.daemon import Daemon
from alysd.testing.updates import governance_keys, halt_update, members_update
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import LEAST_NOTICE, FederationUpdate, UpdateKind
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.validation import genesis_of
from alysd.wire.evm_address import checksum_address
from alysd.wire.keccak import keccak256
from tests.integration.bitcoin_wallet import Wallet, data, wallet
from tests.integration.federation_daemons import CHAIN_ID, federation, height
from tests.integrations.libp2p import needs_libp2p

pytestmark = [pytest.mark.component, needs_libp2p]

SECONDS = 560.0
AFTER = (0, 1, 2, 4)
LEAVER, NEWCOMER = 3, 4
WEI_PER_SAT = 10**10
SELECTOR = keccak256(b"requestPegOut(bytes)")[:4]
USER: LocalAccount = Account.from_key(b"\x07" * 32)
PARAMETERS = {
    "slot_seconds": 1,
    "auxpow_spacing_slots": 1,
    "peg_in_confirmations": 2,
    "peg_out_max_fee_rate": 50_000,
    "governance_keys": ["0x" + key.hex() for key in governance_keys(3)],
    "governance_threshold": 2,
}


@attrs.define
class Rig:
    """The running daemons, a wallet that pays for all, and the file of the change."""

    folder: Path
    nodes: list[Daemon]
    wallet: Wallet
    update: Path
    nonce: int = 0

    @property
    def chain(self) -> Path:
        """The specification."""
        return self.folder / "dev.toml"

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        while not await condition():  # noqa: ASYNC110  other processes have no event
            await trio.sleep(0.5)

    async def make_blocks(self) -> None:
        """Make blocks of Bitcoin, and proofs of work for those of Alys, again and again."""
        async with AlysNodeRpc(self.nodes[0].url) as miner:
            while True:
                await self.wallet.mine()
                with suppress(NotNow, ComponentError, NodeUnavailable):  # no block waits, old work, a busy machine
                    offer = await miner.create_work(MINER)
                    await miner.submit_work(offer.aux_hash, mine(offer.aux_hash, offer.target))
                await trio.sleep(2)

    async def deposit(self, sat: int, recipient: bytes = bytes.fromhex(USER.address[2:])) -> None:
        """Deposit to the address that a node names now."""
        address = (await self.nodes[0].call("getdepositaddress"))["address"]
        script = (await self.wallet.bitcoin.call("validateaddress", address))["scriptPubKey"]
        await self.wallet.send((sat, bytes.fromhex(script)), data(recipient))

    async def burn(self, sat: int) -> None:
        """Ask for a payment to the wallet."""
        address: str = await self.wallet.bitcoin.call("getnewaddress", "", "bech32m")
        call = SELECTOR + (32).to_bytes(32, "big") + len(address).to_bytes(32, "big") + address.encode()
        fields: dict[str, Any] = {
            "chainId": CHAIN_ID, "nonce": self.nonce, "to": checksum_address(BRIDGE_ADDRESS),
            "value": sat * WEI_PER_SAT, "gas": 200_000, "maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9,
            "data": "0x" + (call + bytes(-len(address) % 32)).hex(),
        }  # fmt: skip
        self.nonce += 1
        signed = Account.sign_transaction(fields, USER.key)
        await self.nodes[0].eth("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())

        async def included() -> bool:
            return await self.nodes[0].eth("eth_getTransactionReceipt", signed.hash.to_0x_hex()) is not None

        await self.until(included)

    async def peg(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.nodes[0].call("getpeg")
        return found

    async def alysd(self, *words: str) -> tuple[int, str]:
        """Run a command; its exit status and its output."""
        command = [sys.executable, "-m", "alysd", *words]
        done = await trio.run_process(command, capture_stdout=True, check=False)
        return done.returncode, done.stdout.decode()

    async def audited(self, *options: str) -> dict[str, Any]:
        """The report of `alysd audit`."""
        bitcoin = self.wallet.bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
        ends = ("--chain", str(self.chain), "--bitcoin", bitcoin, "--ethereum", self.nodes[0].eth_url)
        code, said = await self.alysd("audit", "--json", *ends, *options)
        report: dict[str, Any] = json.loads(said)
        assert (code == 0) is report["equal"]
        return report

    @property
    def context(self) -> ChainContext:
        """The chain."""
        return genesis_of(load_chain_spec(self.chain)).context

    async def submit(self, update: FederationUpdate, file: Path) -> None:
        """Give two members the change, as their operators do."""
        await trio.Path(file).write_text(update_text(update))
        for node in self.nodes[:2]:
            config = ("--config", node.command[node.command.index("--config") + 1])
            options = (word for one in sets(node) for word in ("--set", one))
            code, said = await self.alysd("federation", "update", "submit", str(file), *config, *options)
            assert code == 0, said

    async def change_peg(self, kind: UpdateKind, sequence: int) -> int:
        """Have governance halt or resume the peg, and wait until all nodes know it. Returns the height."""
        effective = await height(self.nodes[0]) + 12
        change = halt_update(self.context, sequence, effective, kind)
        await self.submit(change, self.folder / f"{kind}.json")

        async def changed() -> bool:
            found = [(await node.call("getpeg"))["governance"] for node in self.nodes]
            wanted = {"halted": kind == "halt", "sequence": sequence, "pending": None}
            return all(one == wanted for one in found)

        await self.until(changed)
        return effective


def sets(node: Daemon) -> Sequence[str]:
    """The options of a daemon."""
    return [node.command[place + 1] for place, word in enumerate(node.command) if word == "--set"]


def peg_settings(folder: Path, member: int, url: str) -> tuple[str, ...]:
    """The options of a member with its own Bitcoin key, which has signed nothing yet."""
    key, public = folder / f"{member}.bitcoin.key", x_only_key(bitcoin_secret(member)).hex()
    write_key_file(key, "bitcoin", bitcoin_secret(member), public)
    return (f"bitcoin.url={url}", f"peg.key_file={key}")


async def test_a_member_is_replaced_while_bitcoin_goes_in_and_out(tmp_path: Path) -> None:
    """All bitcoin ends at the new address, the leaver may stop, and the audit is equal to the satoshi."""
    with trio.fail_after(SECONDS):
        async with wallet(tmp_path, coins=60) as funded:
            url = funded.bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
            settings = {member: peg_settings(tmp_path, member, url) for member in range(5)}
            async with (
                federation(tmp_path, 4, newcomers=1, parameters=PARAMETERS, settings=settings, peg=True) as nodes,
                trio.open_nursery() as nursery,
            ):
                run = Rig(tmp_path, nodes, funded, tmp_path / "update.json")
                nursery.start_soon(run.make_blocks)
                await goes_over(run)
                nursery.cancel_scope.cancel()


async def halted_meanwhile(run: Rig) -> None:
    """Governance halts and resumes the peg while a change of the members is pending."""
    start = await run.change_peg("halt", 1)

    async def halted() -> bool:
        return (await run.peg())["halted"] is True  # the bridge looks at the head once per slot

    await run.until(halted)
    assert (await run.nodes[0].call("getfederation"))["pending"]["kind"] == "members"
    end = await run.change_peg("resume", 2)
    blocks = [await run.nodes[1].call("getblockbyheight", one) for one in range(start, end)]
    assert all(one["pegins"] == [] and one["pegoutproposal"] is None for one in blocks)

    async def logged() -> bool:
        return all(node.events("peg_resumed_by_governance") for node in run.nodes)

    await run.until(logged)
    for node in run.nodes:
        (first,), (last,) = node.events("peg_halted_by_governance"), node.events("peg_resumed_by_governance")
        assert start - 1 <= first["height"] < last["height"]


async def goes_over(run: Rig) -> None:
    before = (await run.nodes[0].call("getdepositaddress"))["address"]
    await run.deposit(20_000_000)
    await run.deposit(2_000_000, b"reserve")

    async def credited() -> bool:
        peg = await run.peg()
        return peg["minted"] == 20_000_000 and peg["reserve"] == 2_000_000

    await run.until(credited)
    effective = await height(run.nodes[0]) + LEAST_NOTICE + 10
    await run.submit(members_update(run.context, 1, effective, AFTER), run.update)
    for number in range(6):  # while the change waits, and over its height
        await run.burn(300_000 + number)
        await run.deposit(500_000 + number)
        if number == 0:
            await halted_meanwhile(run)

        async def there(upto: int = effective - 80 + 20 * number) -> bool:
            return await height(run.nodes[0]) >= upto

        await run.until(there)
    assert await height(run.nodes[0]) >= effective
    after = (await run.nodes[0].call("getdepositaddress"))["address"]
    assert after != before
    script = output_script(tuple(x_only_key(bitcoin_secret(member)) for member in AFTER))
    assert (await run.wallet.bitcoin.call("validateaddress", after))["scriptPubKey"] == script.hex()
    await run.deposit(700_000)

    async def moved() -> bool:
        report = await run.audited("--update", str(run.update))
        assert report["equal"], report
        return report["former"] == 0 and report["open"] == 0

    await run.until(moved)
    without = await run.audited()
    assert not without["equal"], "without the change, the moved bitcoin is missing"

    # The leaver stops, and the new member signs in its place.
    await run.nodes[LEAVER].kill()
    await run.burn(1_000_000)

    async def paid() -> bool:
        return (await run.peg())["owed"] == 0

    await run.until(paid)
    report = await run.audited("--update", str(run.update))
    assert report["equal"], report
    assert report["totals"]["owed"] == 0
    assert all(node.events("peg_halted") == [] for node in run.nodes)
