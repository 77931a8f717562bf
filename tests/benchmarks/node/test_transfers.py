"""The transfers that fill blocks."""

from alysd.embedded import read_transaction
from benchmarks.node.transfers import CHAIN_ID, Sender


def test_transfers_follow_on_each_other_and_go_to_new_accounts() -> None:
    """A gap would leave them in the pool; one recipient for all would make the state's part look cheaper."""
    sender = Sender.of_development()
    found = [read_transaction(raw, CHAIN_ID) for raw in (*sender.transfers(2), *sender.transfers(1))]
    assert [transaction.nonce for transaction in found] == [0, 1, 2]
    assert len({transaction.to for transaction in found}) == 3
    assert len({transaction.sender for transaction in found}) == 1
