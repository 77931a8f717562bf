"""The reasons for which precompiled contracts fail, in geth's words (go-ethereum 1.17, core/vm/contracts.go).

The specification's errors do not distinguish invalid input and too little gas.
"""

from alysd.embedded.engine.precompiled import bn128, kzg

OUT_OF_GAS = "out of gas"
_INVALID_LENGTH = "invalid input length"
_KZG_GAS = 50_000


def contract_fault(number: int, data: bytes, gas: int, *, affordable: bool) -> str:
    """The words for the failure of the contract at the address `number` that had this much gas.

    `affordable` says whether the gas was enough for the cost, if the cost was computed.
    """
    if not affordable:
        return OUT_OF_GAS
    match number:
        case 6:
            return _point_fault(data[:128].ljust(128, b"\0"), 64)
        case 7:
            return _point_fault(data[:64].ljust(64, b"\0"), 64)
        case 8:
            return "bad elliptic curve pairing size" if len(data) % 192 else _pairs_fault(data)
        case 9:
            return "invalid final flag" if len(data) == 213 else _INVALID_LENGTH
        case 10:
            return _kzg_fault(data, gas)
        case _:
            return OUT_OF_GAS


def _point_fault(data: bytes, size: int) -> str:
    """The fault of the first invalid point of G1, `size` bytes each."""
    for at in range(0, len(data), size):
        x, y = (int.from_bytes(data[place : place + 32], "big") for place in (at, at + 32))
        if x >= bn128.P or y >= bn128.P:
            return "invalid fp.Element encoding"
        if not bn128.on_curve((x, y) if x or y else None):
            return "point is not on curve"
    return "point is not in correct subgroup"


def _pairs_fault(data: bytes) -> str:
    """The fault of the first invalid pair."""
    for at in range(0, len(data), 192):
        fault = _point_fault(data[at : at + 64], 64)
        if fault != "point is not in correct subgroup":
            return fault
        x1, x0, y1, y0 = (
            int.from_bytes(data[place : place + 32], "big") for place in range(at + 64, at + 192, 32)
        )
        if max(x0, x1, y0, y1) >= bn128.P:
            return "invalid fp.Element encoding"
        if not bn128.on_twist(((x0, x1), (y0, y1)) if x0 or x1 or y0 or y1 else None):
            return "point is not on curve"
    return "point is not in correct subgroup"


def _kzg_fault(data: bytes, gas: int) -> str:
    if gas < _KZG_GAS:
        return OUT_OF_GAS
    if len(data) != 192:
        return _INVALID_LENGTH
    if kzg.versioned_hash(data[96:144]) != data[:32]:
        return "mismatched versioned hash"
    reason = kzg.fault(data[96:144], data[32:64], data[64:96], data[144:])
    return f"error verifying kzg proof: {reason}"
