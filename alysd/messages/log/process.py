"""Log lines about the process: its start and end, its children, its libraries, its traces.

Durations are in seconds.
"""

import logging
import time
from collections.abc import Sequence
from decimal import Decimal

import attrs

from alysd.messages.log.base import LogEvent, counted
from alysd.types.federation import Role
from alysd.types.hashes import BlockHash, EvmAddress, displayed
from alysd.types.units import Wei
from alysd.wire.evm_address import checksum_address


@attrs.frozen(kw_only=True)
class NodeStarting(LogEvent):
    """The node starts, with its chain and the addresses of its interfaces. The text form is a banner.

    `engine` is `embedded` or `engine-api`. `engine_url` is the Engine API of an external execution client.
    `operator_url` is set when the operator's pages have an address of their own. `account` is the account of a
    development chain; the genesis gives it `account_wei`. With `dev_clock`, blocks are made on demand, and only
    the pages about the health are at `alys_url` or `operator_url`.
    """

    name = "start"

    version: str
    chain: str
    chain_id: int
    genesis: BlockHash
    data: str
    alys_url: str
    operator_url: str | None
    role: Role
    engine: str
    engine_url: str | None
    ethereum_url: str | None
    account: EvmAddress | None
    account_wei: Wei | None
    account_key_file: str | None
    dev_clock: bool = False

    def _line(self) -> tuple[str, str]:
        genesis, zone = displayed(self.genesis)[:8], time.strftime("%Z")
        parts = [f"alysd {self.version}", f"chain {self.chain}", f"genesis {genesis}"]
        parts += ["follower"] if self.role == "follower" else []
        return "", "   ".join([*parts, f"data {self.data}", f"times {zone}"])

    def _more(self) -> Sequence[str]:
        pages = "/health/status" if self.dev_clock else "/metrics   /health/status   /status"
        client = "embedded engine, Cancun" if self.engine_url is None else f"execution client at {self.engine_url}"
        rpc = "JSON-RPC (createauxblock …)"
        rows = [("ethereum", str(self.ethereum_url), f"{client}, chain id {self.chain_id}")]
        if not self.dev_clock:
            rows.append(("alys", self.alys_url, rpc if self.operator_url else f"{rpc}   {pages}"))
        if self.operator_url or self.dev_clock:
            rows.append(("operator", self.operator_url or self.alys_url, pages))
        if self.dev_clock:
            rows.append(("dev-clock", "a block with each transaction, evm_mine or hardhat_mine;", "virtual time"))
        if self.account is not None:
            rows.append(("account", f"{checksum_address(self.account)}  ", self._money()))
        return [f"  {label:<9} {where:<23} {what}" for label, where, what in rows]

    def _money(self) -> str:
        return f"{btc_text(self.account_wei or Wei(0))} to play with, key in {self.account_key_file}"


def btc_text(amount: Wei) -> str:
    """The exact amount in BTC, with thousands separators: `1,000 BTC`, `0.5 BTC`."""
    return f"{Decimal(amount).scaleb(-18).normalize():,f} BTC"


@attrs.frozen
class OptionUnsafe(LogEvent):
    """An option does not fit the node's environment, or exposes something that an operator should know."""

    name = "option_unsafe"
    level = logging.WARNING

    option: str
    environment: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "config", f"{self.option} in {self.environment}: {self.reason}"


@attrs.frozen
class AccountsOpen(LogEvent):
    """Clients of the Ethereum RPC may use `count` accounts, whose keys follow from words that everybody knows."""

    name = "accounts_open"

    count: int
    mnemonic: str

    def _line(self) -> tuple[str, str]:
        return "accounts", f"{self.count} with keys that everybody knows: {self.mnemonic}"


@attrs.frozen
class AccountOpen(LogEvent):
    """One of these accounts, with its private key in hex."""

    name = "account_open"

    account: EvmAddress
    key: str

    def _line(self) -> tuple[str, str]:
        return "account", f"{checksum_address(self.account)} {self.key}"


@attrs.frozen
class NodeReady(LogEvent):
    """The node is ready to make or follow blocks, `seconds` after its start.

    The next slot begins in `first_slot_in` seconds, which is None for a follower.
    """

    name = "ready"

    seconds: float
    first_slot_in: float | None

    def _line(self) -> tuple[str, str]:
        slot = "follower" if self.first_slot_in is None else f"first slot in {self.first_slot_in:.1f} s"
        return "", f"ready in {self.seconds:.1f} s, {slot}"


@attrs.frozen
class NotReady(LogEvent):
    """The node is not ready yet. The event is logged again when a different kind of reason applies."""

    name = "not_ready"

    reason: str

    def _line(self) -> tuple[str, str]:
        return "not ready", self.reason


@attrs.frozen
class NodeStopping(LogEvent):
    """The node received the signal `signal`, such as `SIGTERM`, and stops."""

    name = "stopping"

    signal: str

    def _line(self) -> tuple[str, str]:
        return "stopping", f"after {self.signal}, as soon as the current block is done"


@attrs.frozen
class NodeStopped(LogEvent):
    """The node has stopped, `seconds` after the request to stop."""

    name = "stopped"

    seconds: float

    def _line(self) -> tuple[str, str]:
        return "", f"stopped in {self.seconds:.1f} s"


@attrs.frozen
class NodeFailed(LogEvent):
    """The node ends with `error`: a message, preceded by the error's type if that is not an `AlysError`."""

    name = "failed"
    level = logging.CRITICAL

    error: str

    def _line(self) -> tuple[str, str]:
        return "failed", self.error


@attrs.frozen
class ChildFailed(LogEvent):
    """An actor, task or supervisor failed. The same error is logged once per minute."""

    name = "child_failed"
    level = logging.WARNING

    child: str
    error: str

    def _line(self) -> tuple[str, str]:
        return self.child, f"failed: {self.error}"


@attrs.frozen
class ChildReturned(LogEvent):
    """A child that had failed is running again. The event is logged when the child has run for some seconds."""

    name = "child_returned"

    child: str

    def _line(self) -> tuple[str, str]:
        return self.child, "running again"


@attrs.frozen
class OperatorCommand(LogEvent):
    """The user with the id `user` gave the command `command` for a child: `restart`, `suspend` or `resume`.

    The command `accept_clock` is for the clock of the machine instead of a child, `reload_config` for the
    configuration.
    """

    name = "operator_command"

    command: str
    child: str
    user: int

    def _line(self) -> tuple[str, str]:
        return self.child, f"{self.command}, by the user with the id {self.user}"


@attrs.frozen
class LibraryLine(LogEvent):
    """A line that a library or the actor runtime logged through the logger `logger`.

    The event has the level of the library's line. `exception` is a traceback.
    """

    name = "library"
    level = logging.WARNING

    logger: str
    message: str
    exception: str | None

    def _line(self) -> tuple[str, str]:
        return self.logger.rpartition(".")[2], self.message

    def _more(self) -> Sequence[str]:
        return (self.exception or "").splitlines()


@attrs.frozen
class LinesLost(LogEvent):
    """`lines` lines of this log were lost, because its reader had stopped or its disk was full."""

    name = "lines_lost"
    level = logging.WARNING

    lines: int

    def _line(self) -> tuple[str, str]:
        return "log", f"{counted(self.lines, 'line')} lost: the reader had stopped, or the disk was full"


@attrs.frozen
class TracesLost(LogEvent):
    """The OpenTelemetry collector at `endpoint` does not accept spans. Logged once per interruption."""

    name = "traces_lost"
    level = logging.WARNING

    endpoint: str

    def _line(self) -> tuple[str, str]:
        return "traces", f"spans are lost: the collector at {self.endpoint} does not accept them"


@attrs.frozen
class TracesResumed(LogEvent):
    """The collector accepts spans again; `lost_spans` were lost."""

    name = "traces_resumed"

    lost_spans: int

    def _line(self) -> tuple[str, str]:
        return "traces", f"spans are accepted again, {counted(self.lost_spans, 'span')} lost"


@attrs.frozen
class ClockStepped(LogEvent):
    """The wall clock of the machine was set by `step` seconds, forward if positive. This node makes no blocks.

    The node trusts the new time when it has been steady for `steady_for` seconds. If this is None, the node
    trusts it only after the operator has accepted it.
    """

    name = "clock_stepped"
    level = logging.ERROR

    step: float
    steady_for: float | None

    def _line(self) -> tuple[str, str]:
        way = "forward" if self.step > 0 else "back"
        steady = "" if self.steady_for is None else f"steady for {self.steady_for / 60:.0f} minutes, "
        return "clock", (
            f"set {way} by {abs(self.step):.0f} s: no blocks until the clock is right, {steady}"
            "or accepted (`alysd clock accept`)"
        )


@attrs.frozen
class ClockFarAhead(LogEvent):
    """The newest block was `seconds` old when this node started. This node makes no blocks.

    Either the chain was stopped for so long, and the operator accepts the clock, or the clock is wrong.
    """

    name = "clock_far_ahead"
    level = logging.ERROR

    seconds: float

    def _line(self) -> tuple[str, str]:
        return "clock", (
            f"the newest block is {self.seconds / 86_400:.0f} days old: no blocks until the clock is set right, "
            "or accepted (`alysd clock accept`)"
        )


@attrs.frozen
class ClockStepNotKept(LogEvent):
    """The file that keeps an open step of the clock over a restart of the node could not be written."""

    name = "clock_step_not_kept"
    level = logging.ERROR

    error: str

    def _line(self) -> tuple[str, str]:
        return "clock", f"a restart of the node may forget that the clock was set: {self.error}"


@attrs.frozen
class ClockBelieved(LogEvent):
    """The node trusts the wall clock again.

    `step` is 0 if the clock shows the trusted time again, and otherwise the step that is now accepted.
    """

    name = "clock_believed"

    step: float

    def _line(self) -> tuple[str, str]:
        words = (
            f"{self.step:.0f} s from the time before it was set" if self.step else "at the time before it was set"
        )
        return "clock", f"trusted again, {words}"


@attrs.frozen
class SignedBlockMissing(LogEvent):
    """The database does not contain the last block that this key signed, of slot `slot`.

    Either the node was killed between signing and storing the block, or the database is an older copy.
    """

    name = "signed_block_missing"
    level = logging.WARNING

    slot: int

    def _line(self) -> tuple[str, str]:
        return "guard", (
            f"the last block that this key signed is not in the database: slot {self.slot} "
            "(a crash, or an older database)"
        )
