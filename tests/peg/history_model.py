"""The history of the peg, computed from the blocks of a branch with rules of its own."""

from collections.abc import Mapping, Sequence

from eth_abi.abi import decode as abi_decode

from alysd.embedded import read_transaction
from alysd.types.block import Block, SignedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BitcoinHash, EvmAddress, TransactionHash
from alysd.types.peg import RESERVE, PegOutProposal, Transaction
from alysd.types.peg_history import (
    BurnRecord,
    BurnsOf,
    OperationRecord,
    PaidRequest,
    Refunded,
    Requested,
    SignedVersion,
)
from alysd.types.tables import Entry, Table
from alysd.types.units import Height, Sat
from alysd.wire.keccak import keccak256
from tests.peg.chain_world import GOOD_ADDRESS, WEI_PER_SAT

Tables = Mapping[Table, Mapping[bytes, Entry]]


class _Replay:
    """The tables of the history while blocks are added. The only address that can be paid is `GOOD_ADDRESS`."""

    def __init__(self, spec: ChainSpec, own: bytes, versions: Mapping[BitcoinHash, Transaction]) -> None:
        self.spec = spec
        self.own = own
        self.versions = versions
        self.tables: dict[Table, dict[bytes, Entry]] = {
            table: {}
            for table in (Table.OPERATIONS, Table.BURNS, Table.REQUESTED, Table.PAID, Table.REFUNDED, Table.SIGNED)
        }
        self.requests = self.proposed = self.refunds = self.refunded = 0
        self.payees: dict[BitcoinHash, range] = {}

    def add(self, block: Block) -> None:
        """Add a block on top."""
        height = Height(block.height)
        for one in block.confirmed_peg_outs:
            for request, output in zip(self.payees[one.txid], self.versions[one.txid].outputs, strict=False):
                self._put(Table.PAID, request, PaidRequest(one.txid, height, output.amount))
        if block.peg_out_proposal is not None:
            self._propose(block.peg_out_proposal)
        for one in block.finalized_peg_outs:
            self.tables[Table.SIGNED][one.txid] = SignedVersion(height)
        for peg_in in block.peg_ins:
            self._operation(OperationRecord(height, peg_in.recipient, peg_in.amount, peg_in.txid, None))
        minted = {one.recipient for one in block.peg_ins} - {RESERVE}
        for _ in range(len(block.payload.withdrawals) - len(minted)):
            self._put(Table.REFUNDED, self.refunded, Refunded(height))
            self.refunded += 1
        for raw in block.payload.transactions:
            self._burn(raw, height)

    def _propose(self, proposal: PegOutProposal) -> None:
        txid = proposal.transaction.txid
        if proposal.replaces is not None:
            self.payees[txid] = self.payees[proposal.replaces]
            return
        paid = sum(output.script != self.own for output in proposal.transaction.outputs)
        self.payees[txid] = range(self.proposed, self.proposed + paid)
        self.proposed += paid

    def _burn(self, raw: bytes, height: Height) -> None:
        call = read_transaction(raw, self.spec.chain_id)
        (address,) = abi_decode(["bytes"], call.data[4:])
        amount = Sat(call.value // WEI_PER_SAT)
        accepted = address == GOOD_ADDRESS and amount >= self.spec.peg_out_minimum
        refunded = not accepted and 10 * amount >= self.spec.peg_out_minimum
        name, operation = TransactionHash(keccak256(raw)), len(self.tables[Table.OPERATIONS])
        self.tables[Table.BURNS][name] = BurnsOf(operation, 1)
        record = BurnRecord(name, address, self.requests if accepted else None, self.refunds if refunded else None)
        self._operation(OperationRecord(height, EvmAddress(call.sender), amount, None, record))
        if accepted:
            self._put(Table.REQUESTED, self.requests, Requested(operation))
        self.requests += accepted
        self.refunds += refunded

    def _operation(self, operation: OperationRecord) -> None:
        self._put(Table.OPERATIONS, len(self.tables[Table.OPERATIONS]), operation)

    def _put(self, table: Table, number: int, entry: Entry) -> None:
        self.tables[table][number.to_bytes(8, "big")] = entry


def history_of(
    blocks: Sequence[SignedBlock], spec: ChainSpec, own: bytes, versions: Mapping[BitcoinHash, Transaction]
) -> Tables:
    """The tables of the history after these blocks, oldest first. `versions` has the payments by txid, `own` is
    the federation's output script."""
    replay = _Replay(spec, own, versions)
    for signed in blocks:
        replay.add(signed.block)
    return replay.tables
