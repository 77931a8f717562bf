"""The JSON of blocks, transactions and logs. tests/integration checks blocks and receipts with web3.py."""

from alysd.embedded.rpc.views import header_view, log_view, transaction_view
from tests.embedded.rpc.news import ANNA, BORIS, TOPIC, header, log, transaction


def test_a_header_has_the_fields_of_a_cancun_block() -> None:
    view = header_view(header(5))
    assert (view["number"], view["timestamp"], view["gasLimit"], view["baseFeePerGas"]) == (
        "0x5",
        "0xa",
        "0x1c9c380",
        "0x7",
    )
    assert {"withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"} <= view.keys()
    assert len(view["logsBloom"]) == 2 + 512


def test_an_included_transaction_shows_what_it_paid_and_a_waiting_one_what_it_would() -> None:
    included = transaction_view(transaction(), header(5), 2)
    assert (included["gasPrice"], included["blockNumber"], included["transactionIndex"]) == ("0x11", "0x5", "0x2")
    waiting = transaction_view(transaction())
    assert (waiting["gasPrice"], waiting["blockNumber"], waiting["transactionIndex"]) == ("0x64", None, None)


def test_a_fee_market_transaction_shows_its_fees_and_parity() -> None:
    view = transaction_view(transaction(access_list=((BORIS, (TOPIC,)),)))
    assert (view["maxFeePerGas"], view["maxPriorityFeePerGas"], view["yParity"], view["v"]) == (
        "0x64",
        "0xa",
        "0x1",
        "0x1",
    )
    assert view["accessList"] == [{"address": "0x" + BORIS.hex(), "storageKeys": ["0x" + TOPIC.hex()]}]
    assert (view["from"], view["to"], view["input"]) == ("0x" + ANNA.hex(), "0x" + BORIS.hex(), "0xda7a")


def test_a_legacy_transaction_shows_nothing_that_came_later() -> None:
    view = transaction_view(transaction(type=0, chain_id=None, v=27, to=None))
    assert not {"accessList", "yParity", "maxFeePerGas", "chainId"} & view.keys()
    assert (view["to"], view["v"]) == (None, "0x1b")


def test_an_access_list_transaction_shows_a_price_only() -> None:
    view = transaction_view(transaction(type=1))
    assert "maxFeePerGas" not in view
    assert view["accessList"] == []


def test_a_blob_transaction_shows_its_blobs() -> None:
    """This chain has none of its own making, but a block may hold one."""
    view = transaction_view(transaction(type=3, max_blob_fee=9, blob_hashes=(TOPIC,)))
    assert (view["maxFeePerBlobGas"], view["blobVersionedHashes"]) == ("0x9", ["0x" + TOPIC.hex()])


def test_a_log_shows_where_it_stands() -> None:
    view = log_view(log(5, ANNA, TOPIC), removed=True)
    assert (view["blockNumber"], view["blockTimestamp"], view["logIndex"], view["removed"]) == (
        "0x5",
        "0xa",
        "0x0",
        True,
    )
    assert (view["address"], view["topics"], view["data"]) == (
        "0x" + ANNA.hex(),
        ["0x" + TOPIC.hex()],
        "0x64617461",
    )
