"""The checks of a message before its execution, in the order and words of geth (core/state_transition.go)."""

from enum import Enum

import attrs

from alysd.embedded.engine.message import intrinsic_gas
from alysd.embedded.engine.values import CallRequest
from alysd.errors import Refused
from alysd.wire.evm_address import checksum_address

_INIT_CODE_BYTES = 49_152
"""The maximum size of the code that creates a contract (EIP-3860)."""


class Mistake(Enum):
    """The reasons for which a message cannot be executed."""

    NONCE_TOO_LOW = "nonce too low"
    NONCE_TOO_HIGH = "nonce too high"
    TIP_ABOVE_FEE = "tip above the maximum fee"
    FEE_BELOW_BASE_FEE = "maximum fee below the base fee"
    FUNDS = "too little money"
    INTRINSIC_GAS = "too little gas"
    INIT_CODE = "too much code"


@attrs.frozen(str=False)
class MessageRefused(Refused):
    """A message that no block could have; the text is geth's."""

    mistake: Mistake
    words: str

    def __str__(self) -> str:
        return self.words


def check_nonce(request: CallRequest, nonce: int, expected: int) -> None:
    """Raise `MessageRefused` unless the nonce is that of the account."""
    if nonce != expected:
        low = nonce < expected
        words = f"address {checksum_address(request.sender)}, tx: {nonce} state: {expected}"
        raise MessageRefused(
            Mistake.NONCE_TOO_LOW if low else Mistake.NONCE_TOO_HIGH,
            f"nonce too {'low' if low else 'high'}: {words}",
        )


def check_message(request: CallRequest, gas: int, base_fee: int, balance: int, *, free: bool = True) -> None:
    """Raise `MessageRefused` for a message that its sender cannot pay for, or that has too little gas.

    With `free`, a message without a price does not pay the base fee, as in geth's eth_call.
    """
    sender, most, tip = checksum_address(request.sender), request.max_fee, request.max_priority_fee
    if most or tip or not free:
        if tip > most:
            raise MessageRefused(
                Mistake.TIP_ABOVE_FEE,
                f"max priority fee per gas higher than max fee per gas: address {sender}, "
                f"maxPriorityFeePerGas: {tip}, maxFeePerGas: {most}",
            )
        if most < base_fee:
            raise MessageRefused(
                Mistake.FEE_BELOW_BASE_FEE,
                "max fee per gas less than block base fee: "
                f"address {sender}, maxFeePerGas: {most}, baseFee: {base_fee}",
            )
    size = len(request.data)
    if request.to is None and size > _INIT_CODE_BYTES:
        words = f"max initcode size exceeded: code size {size} limit {_INIT_CODE_BYTES}"
        raise MessageRefused(Mistake.INIT_CODE, words)
    cost = gas * most + request.value
    if balance < cost:
        words = f"insufficient funds for gas * price + value: address {sender} have {balance} want {cost}"
        raise MessageRefused(Mistake.FUNDS, words)
    needed = intrinsic_gas(request)
    if gas < needed:
        raise MessageRefused(Mistake.INTRINSIC_GAS, f"intrinsic gas too low: have {gas}, want {needed}")
