# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The specification is typed, but not for pyright (`specification.py`).
"""The precompiled contracts as functions of the specification's frame, and of a time budget."""

from collections.abc import Callable
from typing import Any

from ethereum.forks.cancun.vm import exceptions, gas
from ethereum.forks.cancun.vm.precompiled_contracts import mapping, modexp
from ethereum_types.bytes import Bytes
from ethereum_types.numeric import U256, Uint

from alysd.embedded.engine.precompiled import blake2, bn128, kzg, pairing
from alysd.embedded.engine.precompiled.modular import bounded_power
from alysd.embedded.engine.time_budget import TimeBudget

Contract = Callable[[Any, TimeBudget], None]

_KZG_RESULT = (4096).to_bytes(32, "big") + kzg.MODULUS.to_bytes(32, "big")
"""The field elements of a blob, and the modulus (EIP-4844)."""


def _modexp(evm: Any, budget: TimeBudget) -> None:
    """Modular exponentiation (EIP-198, EIP-2565)."""
    data = bytes(evm.message.data)
    base_size, exponent_size, size = (int.from_bytes(_read(data, at, 32), "big") for at in (0, 32, 64))
    head = U256.from_be_bytes(_read(data, 96 + base_size, min(32, exponent_size)))
    gas.charge_gas(evm, modexp.gas_cost(U256(base_size), U256(size), U256(exponent_size), head))
    if base_size == 0 and size == 0:
        evm.output = Bytes(b"")
        return
    base = int.from_bytes(_read(data, 96, base_size), "big")
    exponent = data[96 + base_size : 96 + base_size + exponent_size]
    modulus = int.from_bytes(_read(data, 96 + base_size + exponent_size, size), "big")
    if modulus == 0:
        evm.output = Bytes(bytes(size))
        return
    power = bounded_power(base, exponent.ljust(exponent_size, b"\0"), modulus, budget.check)
    evm.output = Bytes(power.to_bytes(size, "big"))


def _add(evm: Any, _budget: TimeBudget) -> None:
    """Addition on alt_bn128 (EIP-196, EIP-1108)."""
    gas.charge_gas(evm, Uint(150))
    data = bytes(evm.message.data)
    evm.output = _encoded(bn128.add(_g1(_read(data, 0, 64)), _g1(_read(data, 64, 64))))


def _multiply(evm: Any, budget: TimeBudget) -> None:
    """Multiplication on alt_bn128 (EIP-196, EIP-1108)."""
    gas.charge_gas(evm, Uint(6000))
    budget.check()
    data = bytes(evm.message.data)
    evm.output = _encoded(bn128.multiply(_g1(_read(data, 0, 64)), int.from_bytes(_read(data, 64, 32), "big")))


def _pairing(evm: Any, budget: TimeBudget) -> None:
    """The check of a product of pairings on alt_bn128 (EIP-197, EIP-1108)."""
    data = bytes(evm.message.data)
    count = len(data) // 192
    gas.charge_gas(evm, Uint(34_000 * count + 45_000))
    if len(data) % 192:
        raise exceptions.OutOfGasError
    if count:
        budget.need(pairing.SECONDS + count * pairing.SECONDS_PER_PAIR)
    pairs = [_pair(data[at : at + 192], budget) for at in range(0, len(data), 192)]
    evm.output = Bytes(int(pairing.product_is_one(pairs, budget.check)).to_bytes(32, "big"))


def _blake2f(evm: Any, budget: TimeBudget) -> None:
    """The compression function of BLAKE2b (EIP-152)."""
    data = bytes(evm.message.data)
    if len(data) != 213:
        raise exceptions.InvalidParameter
    rounds = int.from_bytes(data[:4], "big")
    gas.charge_gas(evm, Uint(rounds))
    if data[212] > 1:
        raise exceptions.InvalidParameter
    budget.need(rounds * blake2.SECONDS_PER_ROUND)
    evm.output = Bytes(blake2.compress(data, budget.check))


def _point_evaluation(evm: Any, budget: TimeBudget) -> None:
    """The check of a KZG proof (EIP-4844)."""
    data = bytes(evm.message.data)
    if len(data) != 192:
        raise exceptions.KZGProofError
    gas.charge_gas(evm, gas.GAS_POINT_EVALUATION)
    budget.need(kzg.SECONDS)
    versioned_hash, z, y, commitment, proof = data[:32], data[32:64], data[64:96], data[96:144], data[144:]
    if kzg.versioned_hash(commitment) != versioned_hash or not kzg.proof_is_valid(commitment, z, y, proof):
        raise exceptions.KZGProofError
    evm.output = Bytes(_KZG_RESULT)


CONTRACTS: dict[Any, Contract] = {
    mapping.MODEXP_ADDRESS: _modexp,
    mapping.ALT_BN128_ADD_ADDRESS: _add,
    mapping.ALT_BN128_MUL_ADDRESS: _multiply,
    mapping.ALT_BN128_PAIRING_CHECK_ADDRESS: _pairing,
    mapping.BLAKE2F_ADDRESS: _blake2f,
    mapping.POINT_EVALUATION_ADDRESS: _point_evaluation,
}
"""The contracts by address. The others of the specification take microseconds, or are native already."""


def _read(data: bytes, start: int, size: int) -> bytes:
    """`size` bytes from `start` on, with zeros after the end of the data."""
    return data[start : start + size].ljust(size, b"\0")


def _g1(data: bytes) -> bn128.G1:
    """Decode 64 bytes to a point of G1. Raises `OutOfGasError`, as the specification does."""
    x, y = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")
    point = (x, y) if x or y else None
    if x >= bn128.P or y >= bn128.P or not bn128.on_curve(point):
        raise exceptions.OutOfGasError
    return point


def _pair(data: bytes, budget: TimeBudget) -> tuple[bn128.G1, bn128.G2]:
    """Decode a pair of points (192 bytes), in which the imaginary parts come first. Raises `OutOfGasError`."""
    first = _g1(data[:64])
    x1, x0, y1, y0 = (int.from_bytes(data[at : at + 32], "big") for at in range(64, 192, 32))
    second = ((x0, x1), (y0, y1)) if x0 or x1 or y0 or y1 else None
    if max(x0, x1, y0, y1) >= bn128.P or not bn128.on_twist(second):
        raise exceptions.OutOfGasError
    if not bn128.in_subgroup(second, budget.check):
        raise exceptions.OutOfGasError
    return first, second


def _encoded(point: bn128.G1) -> Bytes:
    x, y = point or (0, 0)
    return Bytes(x.to_bytes(32, "big") + y.to_bytes(32, "big"))
