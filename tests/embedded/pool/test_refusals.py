"""The texts of refusals, which are geth's, because tools search for them."""

import pytest

from alysd.embedded.engine.transaction import InvalidSender, TransactionRefused, UnsupportedType
from alysd.embedded.pool import refusals


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnsupportedType(3), "transaction type not supported: tx type 3 not supported by this pool"),
        (refusals.Unprotected(), "only replay-protected (EIP-155) transactions allowed over RPC"),
        (InvalidSender("recovery failed"), "invalid sender: recovery failed"),
        (refusals.Oversized(131_073, 131_072), "oversized data: transaction size 131073, limit 131072"),
        (refusals.InitCodeTooLarge(50_000, 49_152), "max initcode size exceeded: code size 50000 limit 49152"),
        (refusals.ExceedsBlockGasLimit(), "exceeds block gas limit"),
        (refusals.TipAboveFee(), "max priority fee per gas higher than max fee per gas"),
        (refusals.NonceAtMaximum(), "nonce has max value"),
        (refusals.IntrinsicGasTooLow(20_000, 21_000), "intrinsic gas too low: gas 20000, minimum needed 21000"),
        (refusals.TipTooLow(0, 1), "transaction gas price below minimum: gas tip cap 0, minimum needed 1"),
        (refusals.NonceTooLow(5, 3), "nonce too low: next nonce 5, tx nonce 3"),
        (
            refusals.InsufficientFunds(10, 0, 15),
            "insufficient funds for gas * price + value: balance 10, tx cost 15, overshot 5",
        ),
        (
            refusals.InsufficientFunds(10, 7, 8),
            "insufficient funds for gas * price + value: balance 10, queued cost 7, tx cost 8, overshot 5",
        ),
        (refusals.AlreadyKnown(), "already known"),
        (refusals.Dropped("takes longer"), "transaction dropped: takes longer"),
        (refusals.ReplacementUnderpriced(), "replacement transaction underpriced"),
        (refusals.Underpriced(), "transaction underpriced"),
        (refusals.AccountLimitExceeded(256), "account limit exceeded: pooled 256 txs"),
    ],
)
def test_a_refusal_is_in_geth_s_words(error: TransactionRefused, words: str) -> None:
    assert isinstance(error, TransactionRefused)
    assert str(error) == words


def test_every_refusal_has_words() -> None:
    """A new class without them would answer with nothing."""
    assert all(kind.__str__ is not Exception.__str__ for kind in TransactionRefused.__subclasses__())
