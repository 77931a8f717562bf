"""The Bitcoin addresses to which the federation pays (docs/protocol.md, "Peg-out").

btclib is imported inside the function: the import takes 0.25 s, which would delay the start of the node.
"""

from collections.abc import Collection

import attrs

from alysd.errors import Refused
from alysd.types.peg import MAX_ADDRESS_BYTES
from alysd.types.units import Sat


@attrs.frozen
class NotPayable(Refused):
    """A burn that the federation does not pay, because of its address or its amount. The burn becomes a refund."""

    reason: str

    def __str__(self) -> str:
        return self.reason


_DUST: tuple[tuple[bytes, int, bytes, Sat], ...] = (
    (b"\x76\xa9\x14", 25, b"\x88\xac", Sat(546)),  # P2PKH
    (b"\xa9\x14", 23, b"\x87", Sat(540)),  # P2SH
    (b"\x00\x14", 22, b"", Sat(294)),  # P2WPKH
    (b"\x00\x20", 34, b"", Sat(330)),  # P2WSH
    (b"\x51\x20", 34, b"", Sat(330)),  # P2TR
)
"""The start, length and end of the scripts that the federation pays, and the smallest amount of such an output.

Bitcoin Core does not relay a transaction with a smaller output: at 3 sat per virtual byte, the output would cost
more to create and to spend than its amount (`GetDustThreshold`).
"""


def payout_script(address: bytes, network: str, own: Collection[bytes]) -> bytes:
    """The output script of an address on `network`: mainnet, testnet, signet or regtest.

    `own` are the federation's output scripts; a payment to one of them would be a deposit without recipient.
    Raises `NotPayable` for text that is no address of the network, and for scripts that the federation never pays.
    """
    from btclib.exceptions import BTClibException
    from btclib.script.script_pub_key import ScriptPubKey

    if not 0 < len(address) <= MAX_ADDRESS_BYTES or not address.isascii() or not address.isalnum():
        raise NotPayable(f"the address is not 1 to {MAX_ADDRESS_BYTES} letters and digits")
    text = address.decode("ascii")
    try:
        found = ScriptPubKey.from_address(text)
    except (BTClibException, ValueError) as error:
        raise NotPayable(f"the text is not a Bitcoin address: {error}") from error
    # Base58 addresses of all networks for tests look the same, so the name of the network is not compared.
    if ScriptPubKey(found.script, network).address not in (text, text.lower()):
        raise NotPayable(f"the address is not one of the network {network}")
    if dust_limit(found.script) is None:
        raise NotPayable("the address has an unknown kind of output")
    if found.script in own:
        raise NotPayable("the address is the federation's own")
    return found.script


def dust_limit(script: bytes) -> Sat | None:
    """The smallest amount that an output with this script may have; None for scripts that are never paid."""
    for start, length, end, limit in _DUST:
        if len(script) == length and script.startswith(start) and script.endswith(end):
            return limit
    return None
