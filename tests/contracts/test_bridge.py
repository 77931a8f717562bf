"""The bridge contract does what the protocol asks of it, as the executable specification of Cancun runs it.

Every satoshi that leaves the chain goes through this contract: a value that it took without an event would be
lost, and an event without the value would be paid from somebody else's deposit.
"""

# The specification is typed throughout, but its folder of forks lacks the __init__.py that would mark it so.
# pyright: reportMissingTypeStubs=false

import json
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from ethereum.crypto.hash import Hash32
from ethereum.exceptions import EthereumException
from ethereum.forks.cancun.fork_types import Account, Address
from ethereum.forks.cancun.state import State, TransientStorage, get_account, set_account, set_storage
from ethereum.forks.cancun.vm import BlockEnvironment, Message, TransactionEnvironment
from ethereum.forks.cancun.vm.interpreter import MessageCallOutput, process_message_call
from ethereum_types.bytes import Bytes32
from ethereum_types.numeric import U64, U256, Uint

ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / "alysd" / "integrations" / "execution" / "bridge.json"
BRIDGE = Address(b"\xbb" * 20)
USER = Address(b"\xaa" * 20)
BTC = 10**18
GAS = 200_000
REQUEST_PEG_OUT = keccak(text="requestPegOut(bytes)")[:4]
PEG_ACTIVE = Bytes32(bytes(32))
BECH32_ADDRESS = b"bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


@pytest.fixture
def state() -> State:
    """The contract as the genesis of a chain with a peg places it, and a user with 10 BTC."""
    state = without_peg()
    set_storage(state, BRIDGE, PEG_ACTIVE, U256(1))
    return state


def without_peg() -> State:
    """The same on a chain without a peg."""
    code = bytes.fromhex(json.loads(ARTIFACT.read_text())["deployedBytecode"].removeprefix("0x"))
    state = State()
    set_account(state, BRIDGE, Account(nonce=Uint(1), balance=U256(0), code=code))
    set_account(state, USER, Account(nonce=Uint(0), balance=U256(10 * BTC), code=b""))
    return state


def call(state: State, data: bytes, value: int) -> MessageCallOutput:
    """A transaction's message call of the user to the bridge, with `value` in wei."""
    block = BlockEnvironment(
        chain_id=U64(1),
        state=state,
        block_gas_limit=Uint(30_000_000),
        block_hashes=[],
        coinbase=Address(b"\xfe" * 20),
        number=Uint(1),
        base_fee_per_gas=Uint(7),
        time=U256(1),
        prev_randao=Bytes32(bytes(32)),
        excess_blob_gas=U64(0),
        parent_beacon_block_root=Hash32(bytes(32)),
    )
    transaction = TransactionEnvironment(
        origin=USER,
        gas_price=Uint(7),
        gas=Uint(GAS),
        access_list_addresses=set(),
        access_list_storage_keys=set(),
        transient_storage=TransientStorage(),
        blob_versioned_hashes=(),
        index_in_block=Uint(0),
        tx_hash=None,
    )
    return process_message_call(
        Message(
            block_env=block,
            tx_env=transaction,
            caller=USER,
            target=BRIDGE,
            current_target=BRIDGE,
            gas=Uint(GAS),
            value=U256(value),
            data=data,
            code_address=BRIDGE,
            code=get_account(state, BRIDGE).code,
            depth=Uint(0),
            should_transfer_value=True,
            is_static=False,
            accessed_addresses=set(),
            accessed_storage_keys=set(),
            parent_evm=None,
        )
    )


def request_peg_out(state: State, address: bytes, value: int) -> MessageCallOutput:
    """`requestPegOut(address)` with `value` in wei."""
    return call(state, REQUEST_PEG_OUT + encode(["bytes"], [address]), value)


@pytest.mark.parametrize("value", [1, 10**10, BTC, 10 * BTC])
def test_the_value_stays_and_is_announced(state: State, value: int) -> None:
    """The log names the sender and the value to the wei, and the value has left circulation."""
    output = request_peg_out(state, BECH32_ADDRESS, value)
    assert output.error is None
    (log,) = output.logs
    assert log.address == BRIDGE
    assert log.topics == (keccak(text="RequestPegOut(address,bytes,uint256)"), bytes(12) + USER)
    assert decode(["bytes", "uint256"], log.data) == (BECH32_ADDRESS, value)
    assert get_account(state, BRIDGE).balance == U256(value)
    assert get_account(state, USER).balance == U256(10 * BTC - value)


@pytest.mark.parametrize("length", [1, 34, 62, 90])
def test_every_length_that_an_address_can_have_is_taken(state: State, length: int) -> None:
    """An address that is refused could never be paid: base58 has 26 to 35, bech32 up to 90 characters."""
    output = request_peg_out(state, b"x" * length, BTC)
    assert output.error is None
    assert decode(["bytes", "uint256"], output.logs[0].data)[0] == b"x" * length


@pytest.mark.parametrize(
    ("address", "value"),
    [(BECH32_ADDRESS, 0), (b"", BTC), (b"x" * 91, BTC), (b"x" * 5000, BTC)],
    ids=["no value", "no address", "one byte too long", "far too long"],
)
def test_what_cannot_be_paid_out_is_refused_with_the_value_left_alone(
    state: State, address: bytes, value: int
) -> None:
    """A log that costs little and pays nobody would be a way to fill every node's records."""
    assert_refused(state, request_peg_out(state, address, value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01\x02\x03",
        REQUEST_PEG_OUT,
        REQUEST_PEG_OUT + encode(["uint256", "uint256"], [32, 60]),
        REQUEST_PEG_OUT + encode(["uint256"], [2**255]),
        keccak(text="MAX_ADDRESS_BYTES()")[:4],
    ],
    ids=[
        "plain transfer",
        "unknown function",
        "no argument",
        "bytes missing",
        "absurd offset",
        "value to a getter",
    ],
)
def test_value_is_never_kept_without_a_request(state: State, data: bytes) -> None:
    """Money sent by mistake would be burned for nothing."""
    assert_refused(state, call(state, data, BTC))


def assert_refused(state: State, output: MessageCallOutput) -> None:
    """The call failed, wrote no log and moved nothing."""
    assert isinstance(output.error, EthereumException)
    assert output.logs == ()
    assert get_account(state, BRIDGE).balance == U256(0)
    assert get_account(state, USER).balance == U256(10 * BTC)


@pytest.mark.parametrize("value", [0, 1, BTC])
def test_a_chain_without_a_peg_takes_nothing(value: int) -> None:
    """The value would be burned, and no federation pays it out."""
    state = without_peg()
    assert_refused(state, request_peg_out(state, BECH32_ADDRESS, value))


def test_requests_add_up(state: State) -> None:
    """The balance is the sum of all that was burned: a request changes no other state, and gives nothing back."""
    for value in (BTC, 2 * BTC, 3):
        assert request_peg_out(state, BECH32_ADDRESS, value).error is None
    assert get_account(state, BRIDGE).balance == U256(3 * BTC + 3)


def test_a_request_costs_little_more_than_its_log(state: State) -> None:
    """About 5,000 gas beyond a transaction's own 21,000, so that small peg-outs are worth their fee.

    Reading whether there is a peg costs 2,100 of it (EIP-2929).
    """
    output = request_peg_out(state, BECH32_ADDRESS, BTC)
    assert GAS - int(output.gas_left) < 5_700
