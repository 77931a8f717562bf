"""`alysd recover`: lets a node start although its database or its signing guard is lost or out of date."""

import argparse
import time
from typing import TYPE_CHECKING

from alysd.commands.configuration import add_configuration_arguments, load_configuration
from alysd.commands.output import confirm, say

if TYPE_CHECKING:
    from alysd.consensus.stored_data import Claim, DataFinding, StoredData
    from alysd.types.units import Slot
    from alysd.validation import ValidNode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd recover`."""
    add_configuration_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
    claims = parser.add_mutually_exclusive_group()
    claims.add_argument(
        "--join-others",
        dest="claim",
        action="store_const",
        const="join-others",
        help="too many members have lost their guards, and no other member lies: approve what all others approve",
    )
    claims.add_argument(
        "--newest-database",
        dest="claim",
        action="store_const",
        const="newest-database",
        help="a member has lost only its signing guard: its database is the newest that it has written",
    )


def run(args: argparse.Namespace) -> int:
    """Print the consequences, ask for a confirmation, and change the data so that the next `alysd run` starts.

    Raises `UserError` without the confirmation.
    """
    from alysd.consensus.aura import slot_at
    from alysd.consensus.stored_data import Claim, claimed_finding
    from alysd.errors import Corrupt, UserError
    from alysd.integrations.backup_manifest import use_backup
    from alysd.integrations.clock import SystemClock
    from alysd.integrations.data_folder import DataFolder
    from alysd.validation import data_of

    valid = load_configuration(args)
    spec = valid.genesis.context.spec
    with DataFolder.open(valid.config.storage.path):
        data = data_of(valid)
        use_backup(valid.config.storage.path, valid.genesis.context.genesis)
        now = slot_at(SystemClock().time(), spec.slot_seconds)
        try:
            found, finding = data.examine(now)
        except Corrupt as error:
            raise UserError(str(error)) from None
        claim = None if args.claim is None else Claim(args.claim)
        if claim is not None:
            claimed = claimed_finding(found, finding, claim)
            if claimed is None and finding is not None:
                raise UserError(f"--{claim.value} is for {_claimant(found, claim)}: leave it out")
            finding = claimed
        if finding is None:
            say("database and signing guard belong together: there is nothing to recover\n")
            say(_wait(valid, found, now))
            return 0
        say(_statement(valid, found, finding, claim, now))
        confirm(spec.name, yes=args.yes)
        data.accept(finding, claim)
        say(_wait(valid, data.examine(now)[0], now))
    say("done; `alysd run` starts the node\n")
    return 0


def _claimant(found: "StoredData", claim: "Claim") -> str:
    """The text of an error that names the node for which a claim is, and says why this node is not one."""
    if not found.authority:
        return "a member of a federation, and this node is a follower"
    if found.alone:
        return "a member that needs others for a quorum, and this authority is a quorum alone"
    if claim.value == "newest-database" and not found.newest:
        return "a member that has its blocks, and this database has none"
    return "a member that has lost its signing guard, and this one has its guard"


_CLAIMS = {
    "newest-database": "- with --newest-database, it is safe only if no block is missing in the database.",
    "join-others": "- with --join-others, it is safe only if no other member lies: blocks could conflict.",
}


def _moment(slot: int, slot_seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(slot * slot_seconds))
    except (OverflowError, ValueError, OSError):
        return f"{slot * slot_seconds} s after 1970"  # a slot of a guard is any number of 20 digits


def _wait(valid: "ValidNode", found: "StoredData", now: "Slot") -> str:
    """Say until when the key signs no block. Empty unless the signing guard or the database is ahead of time."""
    signed = 0 if found.guard is None else found.guard.slot
    last = max(signed, found.newest or 0)
    if not found.authority or last <= now + 1:
        return ""
    seconds = valid.genesis.context.spec.slot_seconds
    what = "signing guard names" if signed == last else "database has"
    return "\n".join(
        [
            f"This key signs no block before {_moment(last + 1, seconds)}: the {what} slot {last}, but the",
            f"clock shows {_moment(now, seconds)}. Compare this clock with another one.",
            "- If it is late, set it.",
            "- If it is right, the last block was made while it was wrong. Wait until that time. Nothing else is",
            "  safe while anybody else has such a block: this key would approve two different blocks of one slot.",
            '- docs/operating.md, "Blocks of the future", says what can be given up if nobody else has them.',
            "",
        ]
    )


def _statement(
    valid: "ValidNode", found: "StoredData", finding: "DataFinding", claim: "Claim | None", now: "Slot"
) -> str:
    name = claim and claim.value
    spec = valid.genesis.context.spec

    def at(slot: int) -> str:
        return f"slot {slot} ({_moment(slot, spec.slot_seconds)})"

    blocks = "no block" if not found.newest else f"blocks up to {at(found.newest)}"
    lines = [f"{valid.config.storage.path}: {finding.fault.value}.", f"The database has {blocks}."]
    if found.authority:
        clock = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now * spec.slot_seconds))
        lines += [
            f"This machine's clock shows {clock}, slot {now}. Compare it with another clock.",
            "Go on only if it is right: if it is behind, the new guard allows slots in which the key has signed.",
            f"This node's key may have signed blocks up to {at(finding.past)}.",
            "",
            "If you go on:",
        ]
    if found.authority and not found.alone:
        guard = found.guard
        known = guard is not None and not guard.recovering and guard.slot >= finding.past
        lines += [
            "- the node gets the blocks that it lacks from the other members;",
            f"- this key approves no block up to {at(finding.past)};"
            if known or name == "newest-database"
            else f"- this key approves no block before the others have approved one after {at(finding.past)};",
            "- this is safe only if no other node uses this key, and none will.",
            *([] if name is None else [_CLAIMS[name]]),
            "",
            "Go on only if there is no newer copy.",
        ]
    elif found.authority:
        lines += [
            "- blocks that are not in the database are given up, also final ones: the chain goes on from the",
            "  database, and everybody who has seen those blocks is on another chain;",
            f"- this key signs no block up to {at(finding.past)};",
            "- this is safe only if no other node uses this key, and none will.",
            "",
            "Go on only if there is no newer copy.",
        ]
    else:
        lines += ["If you go on, the node begins with an empty database."]
    what = "To confirm the time and all this" if found.authority else "To confirm"
    return "\n".join([*lines, f"{what}, type the chain's name ({spec.name}): ", ""])
