"""The data folder of a node: its database and its signing guard, opened and created together.

A new folder is set up in this order: the database, the guard, the record of signed payments, the record of the
chain. The guard and the payment record of a member of a larger federation come first, before the node has ever
run. So a folder with the record of the chain has had the others, and a crash in between leaves a folder whose
set-up the next start continues.
"""

from contextlib import ExitStack
from pathlib import Path

import attrs

from alysd.consensus.stored_data import (
    Claim,
    DataFault,
    DataFinding,
    StoredData,
    judge_data,
    recovered_guard,
    used_elsewhere,
)
from alysd.errors import ConfigError, DataMismatch
from alysd.integrations import bls
from alysd.integrations.data_folder import claim, is_claimed
from alysd.integrations.lmdb_file import check_length
from alysd.integrations.lmdb_store import LmdbStore
from alysd.integrations.payment_record import PaymentRecord
from alysd.integrations.signing import GuardedSigner
from alysd.integrations.signing_guard import read_guard, write_first_guard, write_guard
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.federation import quorum_of
from alysd.types.hashes import ZERO_HASH, BlsPublicKey, XOnlyKey
from alysd.types.units import Height, Slot

CHAIN_FOLDER = "chain"
GUARD_FILE = "signing-guard"
RECORD_FILE = "signed-payments"

SEARCHED_BLOCKS = 1024
"""The number of blocks in which a member looks, at start, for its newest approval. It takes less than a second."""

_READ_AT_ONCE = 64

_WORDS = {
    DataFault.DATABASE_LOST: "Mount its disk, or restore the folder `chain` from a backup",
    DataFault.DATABASE_OLDER: "Restore the newest copy of the folder `chain`",
    DataFault.GUARD_OLDER: "Restore the newest copy of `signing-guard`",
    DataFault.GUARD_MISSING: "Restore the newest copy of `signing-guard`",
}
"""For each fault, the advice that keeps all data."""


@attrs.frozen
class OpenData:
    """An open database, and the signer; a follower has no signer.

    `not_stored` is the slot of the last block that the key signed, if the database does not contain this block.
    """

    store: LmdbStore
    signer: GuardedSigner | None
    not_stored: Slot | None = None


@attrs.frozen
class NodeData:
    """The data folder of a node of the chain named `chain`. `secret` is its authority key, None for a follower.

    `authorities` are the keys of the federation. They may be left out if it has one member. `bitcoin_key` is the
    key with which this node signs payments, if it does.

    Only one process at a time may open it; the lock of `data_folder.DataFolder` ensures this.
    """

    folder: Path
    chain: str
    genesis: SignedBlock
    genesis_state: ChainState
    secret: bytes | None = attrs.field(repr=False)
    authorities: tuple[BlsPublicKey, ...] = ()
    bitcoin_key: XOnlyKey | None = None

    def open(self, now: Slot) -> OpenData:
        """Open database and guard, in slot `now`, or create both in a new folder.

        A member of a federation whose quorum is above one needs a guard in a new folder too (`write_first_guard`).

        Raises `DataMismatch` when they do not belong together, and the errors of `LmdbStore.find`,
        `signing_guard.read_guard` and `data_folder.is_claimed`.
        """
        with ExitStack() as unless_all_is_open:
            store, found = self._find(unless_all_is_open)
            finding = judge_data(found, now)
            if finding is not None:
                raise DataMismatch(self._refusal(finding))
            if store is None:
                store = self._create_database(unless_all_is_open)
            signer = None
            if self.secret is not None:
                signer = GuardedSigner.open(self.secret, self.genesis.hash, self.folder / GUARD_FILE)
            if not found.claimed:
                if self._quorum == 1:
                    self._create_record()
                claim(self.folder, self.chain, self.genesis.hash)
            unless_all_is_open.pop_all()
            guard = found.guard
            lost = guard is not None and guard.block != ZERO_HASH and guard.slot > (found.newest or 0)
            return OpenData(store, signer, guard.slot if guard is not None and lost else None)

    def check_complete(self, now: Slot) -> None:
        """Check, in slot `now`, that no file of the folder is missing or foreign. A node may be using the folder.

        The database is not opened: it counts as one that belongs to the guard. Raises the errors of `open`, and
        `PaymentRecordMissing`.
        """
        claimed = is_claimed(self.folder, self.chain, self.genesis.hash)
        guard = None if self.secret is None else read_guard(self.folder / GUARD_FILE, bls.public_key(self.secret))
        newest = (Slot(0) if guard is None else guard.slot) if check_length(self.folder / CHAIN_FOLDER) else None
        alone = self._quorum == 1
        found = StoredData(
            claimed=claimed, newest=newest, own=newest, guard=guard, has_signed=True,
            authority=self.secret is not None, alone=alone,
        )  # fmt: skip
        finding = judge_data(found, now)
        if finding is not None:
            raise DataMismatch(self._refusal(finding))
        record = self.folder / RECORD_FILE
        if self.bitcoin_key is not None and (claimed or not alone) and not record.exists():
            raise PaymentRecord.missing(record, self.bitcoin_key)

    def examine(self, now: Slot) -> tuple[StoredData, DataFinding | None]:
        """Return the content of the folder, and the finding that `alysd recover` resolves. Changes nothing.

        `open` refuses the folder for this finding, unless the finding is that another node has used the key.
        """
        with ExitStack() as until_examined:
            _, found = self._find(until_examined)
        return found, judge_data(found, now) or used_elsewhere(found, now)

    def accept(self, finding: DataFinding, said: Claim | None = None) -> None:
        """Change the guard, the database and `chain.json` so that `open` accepts the folder after this finding.

        The missing data is given up, and a missing database is created. `consensus.stored_data.recovered_guard`
        makes the new guard from the finding and the operator's claim, `said`.
        """
        with ExitStack() as until_accepted:
            store, found = self._find(until_accepted)
            if store is None:
                store = self._create_database(until_accepted)
            if self.secret is not None:
                key = bls.public_key(self.secret)
                newest = store.newest_slot()
                guard = recovered_guard(finding, found.guard, key, newest, self._quorum, claim=said)
                write_guard(self.folder / GUARD_FILE, guard)
            claim(self.folder, self.chain, self.genesis.hash)

    def check_unused(self) -> None:
        """Check that the folder shows no use of the key.

        Only the key's owner knows whether another node has used it.

        Raises `DataMismatch` if the folder has a guard, or if its chain has begun. In the second case, `accept`
        makes a guard that is safe for every key. Raises `ConfigError` for a follower. Changes nothing.
        """
        if self.secret is None:
            raise ConfigError("chain.authority_key_file is not set: a follower needs no signing guard")
        found, _ = self.examine(Slot(0))
        if found.guard is not None:
            raise DataMismatch(f"{self.folder} has a signing guard, up to slot {found.guard.slot}: keep it")
        if found.newest or (found.claimed and found.newest is None):
            raise DataMismatch(
                f"{self.folder}: a node has run here, and the chain has begun: use `alysd recover`, whose guard "
                "is safe for a new key too"
            )

    def write_first_guard(self) -> None:
        """Write the guard of a key that no node has used, and the payment record of the member's Bitcoin key.

        The folder must exist. Raises `StoreError`.
        """
        if self.secret is not None:
            self._create_record()
            write_first_guard(self.folder / GUARD_FILE, bls.public_key(self.secret))

    def _create_record(self) -> None:
        """Write an empty record of signed payments, if the node signs any and the folder has none."""
        path = self.folder / RECORD_FILE
        if self.bitcoin_key is not None and not path.exists():
            PaymentRecord.create(path, self.bitcoin_key)

    def _find(self, stack: ExitStack) -> tuple[LmdbStore | None, StoredData]:
        claimed = is_claimed(self.folder, self.chain, self.genesis.hash)
        key = None if self.secret is None else bls.public_key(self.secret)
        guard = None if key is None else read_guard(self.folder / GUARD_FILE, key)
        store = LmdbStore.find(self.folder / CHAIN_FOLDER, self.genesis)
        newest = None
        if store is not None:
            stack.callback(store.close)
            newest = store.newest_slot()
        own = newest
        if store is not None and key is not None and guard is not None and self._quorum > 1:
            own = self._newest_own(store, key, guard.slot)
        return store, StoredData(
            claimed=claimed,
            newest=newest,
            own=own,
            guard=guard,
            has_signed=store is not None and guard is not None and store.block_by_hash(guard.block) is not None,
            authority=key is not None,
            alone=self._quorum == 1,
        )

    @property
    def _quorum(self) -> int:
        """The quorum of the first federation, which counts as one of several members if it can change.

        An empty folder does not show that this authority was a quorum alone until its disk was lost.
        """
        quorum = quorum_of(max(1, len(self.authorities)))
        return quorum if self.genesis_state.governance is None else max(2, quorum)

    def _newest_own(self, store: LmdbStore, key: BlsPublicKey, since: Slot) -> Slot:
        """The slot of the newest block from slot `since` on that `key` has approved; 0 if there is none.

        A member does not approve every block: a quorum of the others may be faster. Looks at the newest
        `SEARCHED_BLOCKS` of the chain, of which an authority that runs has approved some.
        """
        head = store.forkchoice().head.height
        for end in range(head, max(0, head - SEARCHED_BLOCKS), -_READ_AT_ONCE):
            start = Height(max(1, end - _READ_AT_ONCE + 1))
            for signed in reversed(store.canonical_range(start, end - start + 1)):
                if signed.block.slot < since:
                    return Slot(0)
                index = self._index_in(store, signed, key)
                if index is not None and signed.approvals.signers[index]:
                    return signed.block.slot
        return Slot(0)

    def _index_in(self, store: LmdbStore, signed: SignedBlock, key: BlsPublicKey) -> int | None:
        """The index of `key` among the authorities of a stored block; None if it is none of theirs."""
        if self.genesis_state.governance is None:
            return self.authorities.index(key) if key in self.authorities else None
        parent = store.state_before(signed.block)
        return None if parent.governance is None else parent.governance.federation.index_of(key)

    def _create_database(self, stack: ExitStack) -> LmdbStore:
        store = LmdbStore.open(self.folder / CHAIN_FOLDER, self.genesis, self.genesis_state)
        stack.callback(store.close)
        return store

    def _refusal(self, finding: DataFinding) -> str:
        words = f"{self.folder}: {finding.fault.value}"
        if self.secret is None:
            return f"{words}. {_WORDS[finding.fault]}; `alysd recover` begins with an empty database"
        if finding.fault is DataFault.GUARD_MISSING and self._quorum > 1:
            return (
                f"{words}, and without it this key could approve two blocks of one slot. {_WORDS[finding.fault]}; "
                "if it is lost, run `alysd recover`. Only if no node has ever used this key: `alysd keys guard`"
            )
        if self._quorum > 1:
            return (
                f"{words}: this key may have signed blocks up to slot {finding.past} that the database lacks. "
                f"{_WORDS[finding.fault]}; `alysd recover` gives up the missing data: the node then gets the "
                "chain from the other members, and approves only what builds on blocks that they approve later"
            )
        return (
            f"{words}: this key may have signed blocks up to slot {finding.past} that are not in the database, "
            f"and no other node has them. {_WORDS[finding.fault]}; `alysd recover` gives up the missing blocks"
        )
