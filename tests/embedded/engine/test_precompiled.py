"""The faster precompiled contracts have the specification's gas, outputs and errors, and end in time."""

import random
import time

import pytest
from py_arkworks_bls12381 import G1Point, Scalar
from py_ecc.optimized_bn128.optimized_curve import G2, multiply, normalize

from alysd.embedded.engine.calls import Calls, CallTimeout
from alysd.embedded.engine.precompiled import bn128, kzg
from alysd.embedded.engine.precompiled.modular import bounded_power
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.values import CallRequest
from alysd.types.hashes import EvmAddress
from tests.embedded.engine.kit import Sandbox
from tests.embedded.engine.precompiled_frames import both, outcome
from tests.thorough import cases

MODEXP, ADD, MULTIPLY, PAIRING, BLAKE2F, KZG = 5, 6, 7, 8, 9, 10
OUT_OF_GAS = ("OutOfGasError",)


def chances(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  not used for secrets


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def g1(point: bn128.G1) -> bytes:
    x, y = point or (0, 0)
    return word(x) + word(y)


def g2(factor: int) -> bytes:
    """A multiple of the generator of G2; zero is the point at infinity."""
    if factor == 0:
        return bytes(128)
    x, y = normalize(multiply(G2, factor))
    return b"".join(word(int(value)) for value in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0]))


def blake_input(rounds: int, chance: random.Random, final: int = 1) -> bytes:
    return rounds.to_bytes(4, "big") + chance.randbytes(208) + bytes((final,))


def test_blake2f_is_the_specification_s() -> None:
    chance = chances(1)
    for rounds in (0, 1, 9, 10, 11, 12, 64, 65, 150):
        for final in (0, 1):
            output, gas = both(BLAKE2F, blake_input(rounds, chance, final))
            assert (len(output), gas) == (64, 10**9 - rounds)
    assert both(BLAKE2F, blake_input(1, chance, final=2)) == ("InvalidParameter",)
    assert both(BLAKE2F, bytes(212)) == both(BLAKE2F, b"") == ("InvalidParameter",)
    assert both(BLAKE2F, blake_input(1000, chance, final=2), gas=999) == OUT_OF_GAS


def test_additions_and_multiplications_are_the_specification_s() -> None:
    chance = chances(2)
    generator = (1, 2)
    points: list[bn128.G1] = [
        None,
        generator,
        (1, bn128.P - 2),
        bn128.multiply(generator, chance.randrange(2**256)),
    ]
    factors = [0, 1, 2, bn128.ORDER - 1, bn128.ORDER, bn128.ORDER + 1, 2**256 - 1, chance.randrange(2**256)]
    for one in points:
        for other in points:
            both(ADD, g1(one) + g1(other))
        for factor in factors:
            both(MULTIPLY, g1(one) + word(factor))
    for data in (b"", word(1), word(1) + b"\0" * 31, g1(generator)[:63], g1(generator) * 3, word(1) + word(3)):
        both(ADD, data)
        both(MULTIPLY, data)
    for wrong in (word(bn128.P) + word(0), word(bn128.P + 1) + word(2), b"\xff" * 64):
        assert both(ADD, wrong) == both(MULTIPLY, wrong) == OUT_OF_GAS
    assert both(ADD, b"", gas=149) == both(MULTIPLY, b"", gas=5999) == OUT_OF_GAS


def test_pairings_are_the_specification_s() -> None:
    chance = chances(3)
    a, b = chance.randrange(bn128.ORDER), chance.randrange(bn128.ORDER)
    generator = (1, 2)
    left = g1(bn128.multiply(generator, a)) + g2(b)
    right = g1(bn128.multiply(generator, -a * b)) + g2(1)
    nothing = g1(None) + g2(0)
    one = word(1), 10**9 - 45_000 - 2 * 34_000
    assert both(PAIRING, left + right) == one
    assert both(PAIRING, left + g1(bn128.multiply(generator, 1 - a * b)) + g2(1))[0] == word(0)
    assert both(PAIRING, left)[0] == word(0)
    assert both(PAIRING, b"")[0] == both(PAIRING, nothing)[0] == word(1)
    assert both(PAIRING, g1(None) + g2(7))[0] == both(PAIRING, g1(generator) + g2(0))[0] == word(1)
    assert both(PAIRING, left[:191]) == both(PAIRING, left + b"\0") == OUT_OF_GAS
    assert both(PAIRING, left, gas=78_999) == OUT_OF_GAS
    for at in (31, 63, 95, 127, 159, 191):
        assert both(PAIRING, left[:at] + bytes((left[at] ^ 1,)) + left[at + 1 :]) == OUT_OF_GAS
    assert both(PAIRING, g1(None) + word(bn128.P) + bytes(96)) == OUT_OF_GAS


def test_a_point_outside_of_the_subgroup_is_refused() -> None:
    """Most points of the curve of G2 are not in it. The sum with one that is stays outside."""
    for x in range(1, 200):
        cube = bn128.multiply2(bn128.square2((x, 0)), (x, 0))
        root = _root((cube[0] + bn128._B2[0], cube[1] + bn128._B2[1]))  # pyright: ignore[reportPrivateUsage]
        if root is not None:
            break
    else:
        pytest.fail("no point found")
    assert bn128.on_twist(((x, 0), root))
    data = g1(None) + word(0) + word(x) + word(root[1]) + word(root[0])
    assert both(PAIRING, data) == OUT_OF_GAS


def _root(value: bn128.Fq2) -> bn128.Fq2 | None:
    """A square root in the extension, if there is one."""
    p = bn128.P
    norm = pow(value[0] ** 2 + value[1] ** 2, (p + 1) // 4, p)
    for sign in (norm, -norm):
        real = pow((value[0] + sign) * pow(2, -1, p), (p + 1) // 4, p)
        if real:
            found = real, value[1] * pow(2 * real, -1, p) % p
            if bn128.square2(found) == (value[0] % p, value[1] % p):
                return found
    return None


def modexp_input(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    return b"".join(word(len(part)) for part in (base, exponent, modulus)) + base + exponent + modulus


def test_powers_are_the_specification_s() -> None:
    chance = chances(4)
    sizes = (0, 1, 7, 8, 31, 32, 33, 64, 200)
    for _ in range(cases(200, 3000)):
        parts = [chance.randbytes(chance.choice(sizes)) for _ in range(3)]
        data = modexp_input(*parts)
        both(MODEXP, data)
        both(MODEXP, data[: chance.randrange(len(data))])
    for data in (b"", word(0) + word(2**200), word(1) + word(10**5) + word(1), word(2**256 - 100)):
        both(MODEXP, data)
    assert both(MODEXP, modexp_input(b"\2", b"\xff" * 40, b"\xff" * 40), gas=100) == OUT_OF_GAS
    assert outcome(MODEXP, b"\xff" * 96, TimeBudget()) == OUT_OF_GAS, "geth's answer; the specification crashes"


def test_a_long_power_is_computed_in_pieces() -> None:
    chance = chances(5)
    for size, length in ((1, 9000), (64, 2000), (1024, 40)):
        base, modulus = (int.from_bytes(chance.randbytes(size), "big") + 1 for _ in range(2))
        for exponent in (chance.randbytes(length), bytes(length), bytes(3) + chance.randbytes(length)):
            checks: list[int] = []
            found = bounded_power(base, exponent, modulus, lambda: checks.append(1))  # noqa: B023
            assert found == pow(base, int.from_bytes(exponent, "big"), modulus)
            assert len(checks) > 2 or not any(exponent)


def test_kzg_proofs_are_the_specification_s() -> None:
    def point(factor: int) -> bytes:
        return bytes((G1Point() * Scalar(factor)).to_compressed_bytes())

    def given(commitment: bytes, z: int, y: int, proof: bytes) -> bytes:
        return kzg.versioned_hash(commitment) + word(z) + word(y) + commitment + proof

    infinity = b"\xc0" + bytes(47)
    # A constant polynomial has its value everywhere, with the quotient zero.
    assert len(both(KZG, given(point(7), 3, 7, infinity))[0]) == 64
    assert len(both(KZG, given(infinity, kzg.MODULUS - 1, 0, infinity))[0]) == 64
    failed = ("KZGProofError",)
    off_curve = next(
        candidate
        for candidate in (b"\x80" + bytes(46) + bytes((last,)) for last in range(50))
        if not _is_point(candidate)
    )
    outside = next(
        candidate
        for candidate in (b"\x80" + bytes(46) + bytes((last,)) for last in range(50))
        if _is_point(candidate)
    )
    wrong = [
        given(point(7), 3, 8, infinity),
        given(point(7), 3, 7, point(1)),
        given(point(7), kzg.MODULUS, 7, infinity),
        given(point(7), 3, kzg.MODULUS, infinity),
        given(b"\xc0" + bytes(46) + b"\1", 3, 0, infinity),
        given(b"\xe0" + bytes(47), 3, 0, infinity),
        given(b"\x40" + bytes(47), 3, 0, infinity),
        given(bytes(48), 3, 0, infinity),
        given(point(7), 3, 7, off_curve),
        given(point(7), 3, 7, outside),
        given(b"\x9f" + b"\xff" * 47, 3, 7, infinity),
        b"\1" * 32 + given(point(7), 3, 7, infinity)[32:],
        given(point(7), 3, 7, infinity)[:-1],
    ]
    for data in wrong:
        assert both(KZG, data) == failed
    assert both(KZG, given(point(7), 3, 7, infinity), gas=49_999) == OUT_OF_GAS


def _is_point(compressed: bytes) -> bool:
    """Whether these bytes are a point of the curve, in the subgroup or not."""
    try:
        G1Point.from_compressed_bytes_unchecked(compressed)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (BLAKE2F, blake_input(2**32 - 1, chances(6))),
        (PAIRING, bytes(192 * 1000)),
        (MODEXP, modexp_input(b"\2", b"\xff" * 10**7, b"\xff")),
        (MODEXP, modexp_input(b"\xfe" * 4096, b"\xff" * 512, b"\xff" * 4096)),
    ],
    ids=["rounds", "pairs", "a long exponent", "a long modulus"],
)
def test_a_contract_ends_with_its_budget(number: int, data: bytes) -> None:
    """One transaction with 229,000 rounds took 43 s, whatever the limit."""
    began = time.thread_time()
    with pytest.raises(OutOfTime):
        outcome(number, data, TimeBudget(0.1, clock=time.thread_time), gas=10**11)
    assert time.thread_time() - began < 0.4


def test_gas_is_charged_before_the_time_is_compared() -> None:
    """Without the gas for it a call fails as on every other client, and not for lack of time."""
    for number, data in ((BLAKE2F, blake_input(2**32 - 1, chances(7))), (PAIRING, bytes(192 * 1000))):
        assert outcome(number, data, TimeBudget(0.1), gas=50_000) == OUT_OF_GAS


@pytest.mark.parametrize(
    "request_",
    [
        CallRequest(to=EvmAddress(bytes(19) + b"\x09"), data=blake_input(40_000_000, chances(8))),
        CallRequest(data=bytes.fromhex("5b620f42405f20505f56")),
    ],
    ids=["rounds", "hashes of a megabyte"],
)
def test_a_call_ends_within_its_limit(sandbox: Sandbox, request_: CallRequest) -> None:
    calls = Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id)
    began = time.thread_time()
    with pytest.raises(CallTimeout):
        calls.call(sandbox.head, request_, seconds=0.3)
    assert time.thread_time() - began < 0.8
