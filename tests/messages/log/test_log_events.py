"""Every log event: one line of text, a JSON form that leaves nothing out, and a row in docs/logs.md."""

import importlib
import json
import logging
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import alysd
import alysd.messages.log
from alysd.messages.log import (
    bitcoin,
    chain,
    clients,
    configuration,
    execution,
    governance,
    governance_update,
    miner,
    network,
    payments,
    peg,
    process,
    signer,
)
from alysd.messages.log.base import Bits, LogEvent, counted, log
from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, EvmAddress, TransactionHash
from alysd.types.peg_operation import OperationState, PegOperation
from alysd.types.units import Height, Sat, Slot, Wei

ROOT = Path(alysd.__file__).parent
DOCUMENT = ROOT.parent / "docs" / "logs.md"
ROW = re.compile(r"^\| `(?P<event>\w+)` \| (?P<level>[\w ]+) \| (?P<fields>.*) \| [^|]+ \|$", re.MULTILINE)
WIDTH = 120

BLOCK, WORK, PARENT = (BlockHash(bytes(range(32))), AuxHash(bytes(range(32))), BitcoinHash(bytes(range(32))))
DIGITS = bytes(range(32))[::-1].hex()
ADDRESS = EvmAddress(bytes(range(20)))
CHECKSUMMED = "0x000102030405060708090a0b0c0d0e0f10111213"

STARTING = process.NodeStarting(
    version="0.1.0",
    chain="alys-dev",
    chain_id=121212,
    genesis=BLOCK,
    data="./data/dev",
    alys_url="http://127.0.0.1:3000",
    operator_url=None,
    role="authority",
    engine="embedded",
    engine_url=None,
    ethereum_url="http://127.0.0.1:8545",
    account=ADDRESS,
    account_wei=Wei(10**21),
    account_key_file="conf/dev-account.key",
)

MINTED = PegOperation(OperationState.MINTED, Sat(70_000), None, 4, Height(9), deposit=PARENT)
REFUSED = PegOperation(
    OperationState.REFUSED,
    Sat(9),
    ADDRESS,
    5,
    Height(9),
    transaction=TransactionHash(bytes(range(32))),
    reason="the address is not 1 to 90 letters and digits",
)
SIGNED = attrs.evolve(REFUSED, state=OperationState.SIGNED, reason=None, payment=PARENT)

EXAMPLES: dict[LogEvent, str] = {
    signer.SignerReady("unix:/run/signer.sock", "alys-dev", "8f31aa" + "00" * 29, Height(1234)): (
        "signer|at unix:/run/signer.sock, with the key 8f31aa…; follows alys-dev from height 1,234"
    ),
    signer.SignerSigned(PARENT, 2, Sat(3_000)): "signer|signed the payment 1f1e1d… of 3,000 sat for 2 requests",
    signer.SignerRefused("no payment"): "signer|refused: no payment",
    signer.SignerStopped(): "signer|stopped",
    process.AccountsOpen(10, "test junk"): "accounts|10 with keys that everybody knows: test junk",
    process.AccountOpen(ADDRESS, "0x" + DIGITS): f"account|{CHECKSUMMED} 0x{DIGITS}",
    process.NodeReady(0.9104, 1.1): "|ready in 0.9 s, first slot in 1.1 s",
    process.NotReady("no answer"): "not ready|no answer",
    process.NodeStopping("SIGTERM"): "stopping|after SIGTERM, as soon as the current block is done",
    process.NodeStopped(0.3): "|stopped in 0.3 s",
    process.NodeFailed("StoreError: disk"): "failed|StoreError: disk",
    process.ChildFailed("auxpow", "ValueError: x"): "auxpow|failed: ValueError: x",
    process.ChildReturned("auxpow"): "auxpow|running again",
    process.OperatorCommand("suspend", "engine", 1000): "engine|suspend, by the user with the id 1000",
    process.ClockStepped(-3600.4, 600.0): (
        "clock|set back by 3600 s: no blocks until the clock is right, steady for 10 minutes, "
        "or accepted (`alysd clock accept`)"
    ),
    process.ClockStepped(31_536_000.0, None): (
        "clock|set forward by 31536000 s: no blocks until the clock is right, "
        "or accepted (`alysd clock accept`)"
    ),
    process.ClockFarAhead(31_536_000.0): (
        "clock|the newest block is 365 days old: no blocks until the clock is set right, "
        "or accepted (`alysd clock accept`)"
    ),
    process.ClockStepNotKept("cannot write /data/clock-step: No space left on device"): (
        "clock|a restart of the node may forget that the clock was set: "
        "cannot write /data/clock-step: No space left on device"
    ),
    process.SignedBlockMissing(7): (
        "guard|the last block that this key signed is not in the database: slot 7 (a crash, or an older database)"
    ),
    process.ClockBelieved(0.0): "clock|trusted again, at the time before it was set",
    process.LibraryLine("httpx.error", "odd", None): "error|odd",
    configuration.ConfigReloaded("SIGHUP", 'logging.level = "info" → "debug"', "storage.path"): (
        'config|logging.level = "info" → "debug"; a restart is needed for storage.path'
    ),
    configuration.ConfigReloaded("SIGHUP", None, None): "config|nothing to apply",
    configuration.ConfigNotReloaded("SIGHUP", "rolled_back", "logging.level: no answer"): (
        "config|not reloaded, rolled back: logging.level: no answer"
    ),
    process.OptionUnsafe("engine.mode", "staging", "it is for development"): (
        "config|engine.mode in staging: it is for development"
    ),
    configuration.ConfigRestored(): "config|all options are as before the reload",
    configuration.ConfigRolledBack("SIGHUP", "event logger failed, 3 s after the change"): (
        "config|rolled back: event logger failed, 3 s after the change"
    ),
    execution.ExecutionAnswersDiffer("0x" + "ab" * 32): (
        "engine|the execution clients have different results for the payload 0xabababababab…"
    ),
    execution.DualPathRolledBack("it is slow"): (
        "engine|the first execution client is preferred, and nothing compared: it is slow"
    ),
    governance_update.FederationUpdateKept(2, "halt", Height(900), 0): (
        "federation|change 2 (halt of the peg) at height 900 waits for a block"
    ),
    governance_update.FederationUpdateKept(1, "members", Height(900), 3): (
        "federation|change 1 to 3 members at height 900 waits for a block"
    ),
    governance_update.PegHaltedByGovernance(Height(900)): (
        "peg|halted by governance; the head is at height 900"
    ),
    governance_update.PegResumedByGovernance(Height(900)): (
        "peg|resumed by governance; the head is at height 900"
    ),
    governance_update.UpdateNotIncluded("no answer"): (
        "federation|the block includes no change of the federation: no answer"
    ),
    configuration.ConfigTried("SIGHUP"): "config|the trial of the new options has ended without a failure",
    configuration.ConfigScheduled("test", 1_795_406_400.0, None, "logging.level"): (
        "config|a reload is scheduled for 2026-11-23 04:00:00 UTC: logging.level"
    ),
    configuration.ConfigScheduled("test", None, 900, "logging.level"): (
        "config|a reload is scheduled for height 900: logging.level"
    ),
    configuration.ConfigUnscheduled("test"): "config|the scheduled reload was cancelled",
    configuration.ConfigHistoryNotWritten("disk full"): "config|the history of reloads was not written: disk full",
    process.LinesLost(2): "log|2 lines lost: the reader had stopped, or the disk was full",
    process.TracesLost("http://[::1]:1"): (
        "traces|spans are lost: the collector at http://[::1]:1 does not accept them"
    ),
    process.TracesResumed(1): "traces|spans are accepted again, 1 span lost",
    chain.BlockMade(Height(1), 0, 3, BLOCK): "block 1|0 tx    3 ms    1f1e1d…",
    chain.BlockRefused(BLOCK, "WrongAuthor", "expected 1"): "block|1f1e1d… refused: expected 1",
    chain.BlockPostponed(BLOCK, "the client lags"): "block|1f1e1d… not imported yet: the client lags",
    chain.CandidateRefused(Slot(88), 2, BLOCK, "PegNotActive", "no peg"): (
        "candidate|1f1e1d… of authority 2 not approved: no peg"
    ),
    chain.CandidateDeclined(Slot(88), 2, BLOCK, "locked"): "candidate|1f1e1d… of authority 2 not approved: locked",
    chain.CandidatePostponed(Slot(88), 2, BLOCK, "busy"): "candidate|1f1e1d… of authority 2 postponed: busy",
    chain.RangeFinal(Height(9), 10, ADDRESS, False, Bits(0x207FFFFF), BLOCK): (
        "final 9|10 blocks by 0x0001…1213   target 207fffff"
    ),
    chain.KeySeenElsewhere(Slot(89), 2, Slot(88), BLOCK): (
        "signing|this key has approved 1f1e1d… of slot 89 elsewhere (guard: slot 88): this node signs nothing more"
    ),
    chain.MemberRecovering(Slot(88), 2): (
        "recovery|authority 2 has lost its signing guard: it waits until the others have approved a block"
    ),
    chain.TooManyRecovering(Slot(88), 2): (
        "recovery|2 authorities have lost their guards, the others are no quorum: see `recover --join-others`"
    ),
    chain.MemberRecovered(Slot(90), 2): "recovery|authority 2 approves blocks again",
    chain.QuorumLost(Slot(88), 2, 3, "authority 1 (last heard in slot 80)"): (
        "quorum|only 2 of the 3 approvals needed; no approval from authority 1 (last heard in slot 80)"
    ),
    chain.QuorumBack(Slot(90), 2): "quorum|a quorum approves blocks again, after 2 slots",
    chain.SlotsMissed(Slot(88), 3, "no answer"): "slot missed|88: no answer (3 slots)",
    chain.SlotsResumed(2): "slots|making blocks again, 2 slots missed",
    chain.ChainReorganised(2, Height(7)): "reorganised|2 blocks undone, the head is now 7",
    chain.EvidenceAgainst(2, "0xa1b2c3d4e5", Slot(7), "two blocks of one slot"): (
        "evidence|authority 2 (0xa1b2c3…) approved two blocks of one slot in slot 7: it lies, or its key is used "
        "twice"
    ),
    chain.ChainHalted(10001): (
        "halted|10001 blocks wait for a proof of work: no new block until a miner submits one"
    ),
    chain.ProofMissing(500, 999): "work|no proof of work for 500 blocks; production halts above 999",
    peg.PegContentsLeftOut("AlreadyMinted", "minted"): "peg|left out of the block: minted",
    chain.WorkNotIncluded("no answer"): "work|no proof included: no answer",
    chain.NoProofYet("no answer"): "miner|no proof yet: no answer",
    chain.EngineCatchingUp(Height(10), Height(40)): "engine|the execution client is catching up: 10 of 40",
    chain.EngineCaughtUp(Height(40)): "engine|the execution client has caught up with block 40",
    chain.EngineLags("no answer"): "engine|the execution client does not follow the head yet: no answer",
    chain.TransactionDropped("0x" + "ab" * 32, "slow"): "engine|transaction 0xababab… dropped: slow",
    chain.PoolRestored(3, 1, 0): "engine|3 transactions wait again after the restart, 1 do not",
    chain.PoolRestored(3, 1, 7): (
        "engine|3 transactions wait again after the restart, 1 do not; 7 bytes of the journal cannot be read"
    ),
    chain.PoolJournalFailed("/d/pool.journal", "No space left on device"): (
        "engine|waiting transactions would not survive a restart: /d/pool.journal: No space left on device"
    ),
    execution.ExecutionClientAway("no answer"): (
        "engine|a client does not answer yet, so its chain id is not checked: no answer"
    ),
    execution.ExecutionClientTakesOver("second", "the first client failed: no answer"): (
        "engine|the second execution client takes over: the first client failed: no answer"
    ),
    execution.ExecutionGivenBack("first", Height(9)): (
        "engine|the first execution client is in use from block 9 on"
    ),
    execution.ExecutionClientsUnusable("no answer"): "engine|neither execution client can be used: no answer",
    execution.ExecutionClientUsable("first"): "engine|the first execution client can be used again",
    execution.ExecutionClientOverruled("first", Height(9), "gas"): (
        "engine|the first execution client refuses block 9, which a quorum has approved and the other client "
        "finds valid: gas"
    ),
    execution.ExecutionClientsDiffer("second", "gas"): (
        "engine|the second execution client, which is not in use, refuses a payload: gas"
    ),
    clients.RequestFailed("alys", "KeyError: 1", ""): "alys|a request failed: KeyError: 1",
    clients.ClientsTurnedAway("alys", 1, 0, 2): (
        "alys|too many clients: closed 1 waiting connection and 2 slow clients, refused 0 requests"
    ),
    network.PeerBanned("Qm1", "a false answer", 600.0): "peer|Qm1 disconnected for 10 minutes: a false answer",
    network.ClocksDiffer(1.2, 3, False): (
        "clock|the clock of this machine is 1.2 s behind the clocks of its 3 configured peers: "
        "check its time synchronisation"
    ),
    network.ClocksDiffer(-1.2, 1, True): (
        "clock|the clock of this machine is 1.2 s ahead of the clocks of 1 stranger: "
        "check its time synchronisation"
    ),
    network.PeerOfOtherChain("16Uiu2", BLOCK, BLOCK, 60.0): (
        "peer|16Uiu2 is of another chain, its genesis is 1f1e1d…, not 1f1e1d…: disconnected"
    ),
    network.PeerOfOtherChain("16Uiu2", None, BLOCK, 60.0): (
        "peer|16Uiu2 does not know the requests of an Alys node of this version: disconnected"
    ),
    network.CheckpointRefused("16Uiu2", "not the chain"): "checkpoint|16Uiu2 has another chain: not the chain",
    network.CheckpointNotFound("9:ab"): (
        "checkpoint|9:ab: no peer has it; check network.checkpoint and network.peers"
    ),
    network.CheckpointReached("9:ab"): "checkpoint|9:ab reached",
    network.SyncStarted(Height(5), Height(2005), 3): "sync|from block 5 to 2005, 3 peers ahead",
    network.SyncProgressed(Height(5), Height(2005), 20.0): "sync|block 5 of 2005, 20.0 blocks/s, 2 minutes left",
    network.SyncProgressed(Height(5), Height(2005), 0.0): "sync|block 5 of 2005, 0.0 blocks/s",
    network.SyncDone(Height(2005), 2000, 100.04): "sync|done at block 2005: 2000 blocks in 100.0 s",
    network.ClocksAgree(): "clock|agrees with the clocks of the peers again",
    bitcoin.BitcoinNotUsable("Bitcoin node at http://127.0.0.1:8332: connection refused"): (
        "bitcoin|no peg contents are made or approved: Bitcoin node at http://127.0.0.1:8332: connection refused"
    ),
    payments.PaymentSigned(PARENT, 2, Sat(1_250_000)): (
        f"peg|signed the payment {DIGITS[:6]}… of 1,250,000 sat for 2 requests"
    ),
    payments.PegKeyNotNeeded(DIGITS): (
        f"peg|the key {DIGITS[:16]}… is in no federation of the chain so far, and signs nothing"
    ),
    payments.PegKeyNeeded(DIGITS, 2, newest=True): f"peg|the key {DIGITS[:16]}… is in 2 federations of the chain",
    payments.PegKeyNeeded(DIGITS, 1, newest=False): (
        f"peg|the key {DIGITS[:16]}… is in 1 federation of the chain, but not in the newest"
    ),
    payments.PaymentNotSigned(PARENT, "the limit"): f"peg|the payment {DIGITS[:6]}… is not signed: the limit",
    payments.PaymentComplete(PARENT, 5): f"peg|5 members have signed the payment {DIGITS[:6]}…",
    payments.PaymentNotBroadcast(PARENT, "fee"): f"peg|the payment {DIGITS[:6]}… is not broadcast: fee",
    bitcoin.BitcoinFollowed(840_000): "bitcoin|read up to block 840000",
    bitcoin.BitcoinProgressed(840_000, 840_123): "bitcoin|reading block 840000 of 840123",
    bitcoin.FederationWatched(1, 840_000): (
        "bitcoin|the address of 1 new federation is watched, from block 840000 on"
    ),
    bitcoin.FormerAddressPaid(PARENT, 840_000, 1, Sat(7_000), "late"): (
        "bitcoin|7000 sat of 1f1e1d… are not credited: late"
    ),
    bitcoin.BitcoinNotReadAgain("pruned data"): (
        "bitcoin|no deposits in blocks that have not been read again are judged: pruned data"
    ),
    bitcoin.BitcoinReorganised(1, 840_000): "bitcoin|reorganised: 1 block above block 840000 removed",
    bitcoin.PaymentsFound(840_000, 2, Sat(70_000), 0, 1): (
        "bitcoin|block 840000: 2 deposits of 70000 sat, 1 payment by the federation"
    ),
    bitcoin.PaymentsFound(840_000, 0, Sat(0), 3, 0): "bitcoin|block 840000: 3 payments that cannot be credited",
    peg.FormerOutputsWait(2, Sat(70_000), Sat(900)): (
        "peg|2 outputs of former federations with 70000 sat cannot move: the reserve needs a deposit of 900 sat"
    ),
    peg.PegHalted(2, Sat(70_000), 0, PARENT): (
        "peg|halted: 2 minted deposits of 70000 sat, such as 1f1e1d…, not on Bitcoin any more"
    ),
    peg.PegHalted(1, Sat(70_000), 2, PARENT): (
        "peg|halted: 1 minted deposit of 70000 sat and 2 confirmed payments, such as 1f1e1d…, "
        "not on Bitcoin any more"
    ),
    peg.PegHalted(0, Sat(0), 0, PARENT, 2, Sat(70_000)): (
        "peg|halted: 2 Bitcoin transactions outside of the protocol, such as 1f1e1d…, spent 70000 sat of the "
        "federation"
    ),
    peg.PegResumed(): "peg|goes on: all minted deposits and confirmed payments are on Bitcoin again",
    peg.PegOperationMoved.of(MINTED, Height(9)): "peg|peg-in 4, 1f1e1d1c…, 70000 sat, minted",
    peg.PegOperationMoved.of(REFUSED, Height(9)): (
        "peg|peg-out 5, 0x000102…, 9 sat, refused: the address is not 1 to 90 letters and digits"
    ),
    peg.PegOperationMoved.of(SIGNED, Height(9)): (
        "peg|peg-out 5, 0x000102…, 9 sat, signed, payment 1f1e1d…"
    ),
    peg.PegOperationsNotLogged(Height(9), 1): "peg|1 more operation moved by block 9, too many to log",
    governance.GovernanceConnected("a.b:1", 2): (
        "governance|connected to a.b:1, which is sent 2 unanswered requests"
    ),
    governance.GovernanceLost("a.b:1", "gone"): (
        "governance|no connection to a.b:1: gone; it is tried again and again"
    ),
    governance.GovernanceMessagesRefused("unknown message", 1): "governance|1 message refused: unknown message",
    governance.ProposalKept("p-1", "upgrade", 5, True): "governance|proposal p-1 (upgrade, 5 bytes) is attested",
    governance.ProposalRefused("p-1", "too late"): "governance|proposal p-1 is refused: too late",
    governance.FederationUpdateRefused(3, "halt", "WrongSequence", "too high"): (
        "governance|change 3 (halt) of the federation is refused: too high"
    ),
    governance.FederationUpdateEarly(3, "members", "too high"): (
        "governance|change 3 (members) of the federation waits until this node is synced: too high"
    ),
    governance.GovernanceRefusesRequest("peg-in-1", "no"): "governance|it refuses the request peg-in-1: no",
    governance.GovernanceAskedToSign("ab", 1, 3): (
        "governance|asked for signatures of the payment ab: 1 of 3 members have signed"
    ),
    governance.GovernanceSignaturesTaken("ab", 1): "governance|signatures of 1 member of the payment ab arrived",
    governance.GovernanceSignaturesRefused("ab", "UnknownVersion", "no"): (
        "governance|signatures of the payment ab are refused: no"
    ),
    governance.GovernanceRefusalsNotLogged(2): (
        "governance|2 further refusals without a line: see alysd governance list"
    ),
    governance.GovernanceNotStored("full"): "governance|not stored: full; it is tried again",
    governance.GovernanceRecordDamaged("/a"): "governance|a record was damaged, and is set aside as /a",
    governance.PegInsNotReported(3): (
        "governance|3 notifications of deposits lost: too many are unacknowledged"
    ),
    miner.MinedBlockAccepted(111, 6, PARENT): "bitcoin|block 111 accepted   6 tx   1f1e1d…",
    miner.MinedBlockRefused(111, "bad-txns"): "bitcoin|block 111 refused: bad-txns",
    miner.ProofAccepted(Height(57), Sat(800), WORK): "alys|proof accepted for blocks up to 57   800 sat   1f1e1d…",
    miner.ProofRefused(Height(57), WORK, "stale"): "alys|proof refused for blocks up to 57: stale",
    miner.MiningInterrupted("Alys node: gone", 0.5): "miner|Alys node: gone; next attempt in 0.5 s",
    miner.MiningResumed(3.21): "miner|continues after 3.2 s",
}  # fmt: skip


def classes() -> Iterator[type[LogEvent]]:
    """Every class of the package."""
    for module in pkgutil.iter_modules(alysd.messages.log.__path__, "alysd.messages.log."):
        importlib.import_module(module.name)
    # attrs makes a class with slots anew: the plain one that it began with exists until it is collected.
    yield from (one for one in LogEvent.__subclasses__() if "__attrs_attrs__" in vars(one))


def test_every_class_has_an_example_here_and_a_name_of_its_own() -> None:
    known = list(classes())
    assert {type(event) for event in EXAMPLES} | {process.NodeStarting} == set(known)
    assert len({event.name for event in known}) == len(known)


@pytest.mark.parametrize(("event", "expected"), EXAMPLES.items(), ids=lambda value: getattr(value, "name", ""))
def test_the_text_is_one_line(event: LogEvent, expected: str) -> None:
    subject, lines = event.text()
    assert [f"{subject}|{line}" for line in lines] == [expected]
    assert expected.isprintable()
    assert len(expected) <= WIDTH


@pytest.mark.parametrize("event", [*EXAMPLES, STARTING], ids=lambda event: event.name)
def test_the_json_form_has_every_field_whole(event: LogEvent) -> None:
    """A program could not find the block, or the miner, that a line names."""
    fields = event.fields()
    assert list(fields) == [field.name for field in attrs.fields(type(event))]
    written = json.dumps(fields, ensure_ascii=False)
    assert not any(mark in written for mark in ("...", "…"))
    for name, value in attrs.asdict(event, recurse=False).items():
        if isinstance(value, bytes):
            assert fields[name] == (CHECKSUMMED if len(value) == 20 else DIGITS)


def test_targets_and_durations_are_written_as_the_rpc_does() -> None:
    (final,) = (event for event in EXAMPLES if isinstance(event, chain.RangeFinal))
    assert final.fields()["bits"] == "207fffff"
    (ready,) = (event for event in EXAMPLES if isinstance(event, process.NodeReady))
    assert ready.fields()["seconds"] == 0.91
    assert attrs.evolve(ready, first_slot_in=None).text() == ("", ("ready in 0.9 s, follower",))


def test_a_missing_value_is_null() -> None:
    unknown = chain.RangeFinal(Height(9), 1, None, False, Bits(0x207FFFFF), BLOCK)
    assert unknown.fields()["miner"] is None
    assert "by an unknown miner" in unknown.text()[1][0]
    own = attrs.evolve(unknown, miner=ADDRESS, own=True)
    assert "1 block by internal miner" in own.text()[1][0]


def test_one_missed_slot_is_not_counted() -> None:
    assert chain.SlotsMissed(Slot(88), 1, "no answer").text()[1] == ("88: no answer",)


def test_the_banner_names_every_interface() -> None:
    subject, (first, *rows) = STARTING.text()
    assert subject == ""
    assert first.startswith("alysd 0.1.0   chain alys-dev   genesis 1f1e1d1c   data ./data/dev   times ")
    assert rows == [
        "  ethereum  http://127.0.0.1:8545   embedded engine, Cancun, chain id 121212",
        "  alys      http://127.0.0.1:3000   JSON-RPC (createauxblock …)   /metrics   /health/status   /status",
        f"  account   {CHECKSUMMED}   1,000 BTC to play with, key in conf/dev-account.key",
    ]


def test_the_banner_of_a_node_beside_a_client_with_an_operators_port() -> None:
    event = attrs.evolve(
        STARTING,
        operator_url="http://127.0.0.1:9300",
        engine="engine-api",
        engine_url="http://127.0.0.1:8551",
        ethereum_url="http://127.0.0.1:18545",
        account=None,
    )
    assert event.text()[1][1:] == (
        "  ethereum  http://127.0.0.1:18545  execution client at http://127.0.0.1:8551, chain id 121212",
        "  alys      http://127.0.0.1:3000   JSON-RPC (createauxblock …)",
        "  operator  http://127.0.0.1:9300   /metrics   /health/status   /status",
    )


def test_a_traceback_follows_its_line() -> None:
    event = process.LibraryLine("alysd.nurseries", "child x failed", "Traceback\n  here")
    assert event.text() == ("nurseries", ("child x failed", "Traceback", "  here"))


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 BTC"),
        (1, "0.000000000000000001 BTC"),
        (5 * 10**17, "0.5 BTC"),
        (1000 * 10**18, "1,000 BTC"),
        (20_999_999 * 10**18 + 10**10, "20,999,999.00000001 BTC"),
    ],
)
def test_amounts_are_exact(wei: int, text: str) -> None:
    """A person would believe in money that is not there."""
    assert process.btc_text(Wei(wei)) == text


def test_numbers_have_their_plural() -> None:
    assert [counted(number, "slot") for number in (0, 1, 2)] == ["0 slots", "1 slot", "2 slots"]


def test_the_document_lists_every_event_with_its_level_and_fields() -> None:
    documented = {
        row["event"]: (row["level"], re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", row["fields"])))
        for row in ROW.finditer(DOCUMENT.read_text())
    }
    assert documented == {
        event.name: (
            "its own" if event is process.LibraryLine else logging.getLevelName(event.level).lower(),
            [field.name for field in attrs.fields(event)],
        )
        for event in classes()
    }


def test_the_node_logs_nothing_else() -> None:
    """Only the runtime and the handling of libraries' log lines use `logging` directly."""
    allowed = {
        "nurseries",
        "messages/log",
        "api/console_log.py",
        "integrations/open_telemetry.py",
        "integrations/libp2p",
        "testing/process_double.py",
        "testing/federation/history.py",
    }
    found = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if re.search(r"^\s*(import|from) (logging|structlog)\b", path.read_text(), re.MULTILINE)
    ]
    assert [path for path in found if not any(path.startswith(prefix) for prefix in allowed)] == []


def test_a_level_that_is_not_wanted_is_not_written(logged: list[LogEvent]) -> None:
    logging.getLogger("alysd").setLevel(logging.WARNING)
    log(process.ChildReturned("auxpow"))
    log(process.ChildFailed("auxpow", "x"))
    assert logged == [process.ChildFailed("auxpow", "x")]
