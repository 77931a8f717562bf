"""The check of a product of optimal ate pairings on alt_bn128 (EIP-197), with one final power for all.

An element of the target field has twelve coefficients: those of 1, i, w, w·i, …, w⁵, w⁵·i, where w⁶ = ξ.
Source: Vercauteren, "Optimal pairings", 2010; Beuchat and others, "High-Speed Software Implementation of the
Optimal Ate Pairing over Barreto–Naehrig Curves", 2010.
"""

from collections.abc import Callable, Sequence

from alysd.embedded.engine.precompiled.bn128 import G1, G2, ORDER, XI, Fq2, P, add2, multiply2, power2

SECONDS_PER_PAIR = 0.004
SECONDS = 0.01
"""Times in seconds that a pair takes on a fast machine, and all pairs together."""

_LOOP = 29793968203157093288
"""6u + 2, where u = 4965661367192848881 is the parameter of the curve."""

_HARD_EXPONENT = (P**4 - P**2 + 1) // ORDER

Fq12 = list[int]
_ONE: Fq12 = [1, *[0] * 11]

_X_FACTOR = power2(XI, (P - 1) // 3)
_Y_FACTOR = power2(XI, (P - 1) // 2)
_FROBENIUS_2 = [power2(XI, k * (P * P - 1) // 6)[0] for k in range(6)]
"""w to the power of k·(P² − 1): the power P² multiplies the coefficient of each wᵏ by such a factor."""


def product_is_one(pairs: Sequence[tuple[G1, G2]], check: Callable[[], None]) -> bool:
    """Whether the product of the pairings of `pairs` is one; all points of G2 must be in the subgroup.

    Calls `check` at least once per millisecond.
    """
    finite = [(p, q) for p, q in pairs if p is not None and q is not None]
    return _final_power(_miller(finite, check), check) == _ONE


def _miller(pairs: Sequence[tuple[tuple[int, int], tuple[Fq2, Fq2]]], check: Callable[[], None]) -> Fq12:
    """Miller's loop for all pairs at once, so that the squares are computed once."""
    result = _ONE
    sums: list[G2] = [q for _, q in pairs]
    for bit in f"{_LOOP:b}"[1:]:
        check()
        result = _square(result)
        for at, (p, q) in enumerate(pairs):
            result = _step(result, sums, at, sums[at], p)
            if bit == "1":
                result = _step(result, sums, at, q, p)
    for at, (p, q) in enumerate(pairs):
        check()
        (x, y) = q
        first = multiply2((x[0], -x[1]), _X_FACTOR), multiply2((y[0], -y[1]), _Y_FACTOR)
        (x, y) = first
        second = multiply2((x[0], -x[1]), _X_FACTOR), multiply2((-y[0], y[1]), _Y_FACTOR)
        result = _step(result, sums, at, first, p)
        result = _step(result, sums, at, second, p)
    return result


def _step(result: Fq12, sums: list[G2], at: int, point: G2, p: tuple[int, int]) -> Fq12:
    """Add `point` to the sum, and multiply the result by the value at `p` of the line through both.

    The line is y_p − slope·x_p·w + (slope·x − y)·w³, for any point (x, y) on it.
    """
    here = sums[at]
    sums[at], slope = add2(here, point)
    if here is None or sums[at] is None:
        raise AssertionError("the order of a point in the subgroup is larger than the loop")
    (x, y), (px, py) = here, p
    rise = multiply2(slope, x)
    return _times_line(
        result, py, (-slope[0] * px % P, -slope[1] * px % P), ((rise[0] - y[0]) % P, (rise[1] - y[1]) % P)
    )


def _times_line(f: Fq12, c0: int, c1: Fq2, c3: Fq2) -> Fq12:
    """The product of f and c0 + c1·w + c3·w³."""
    real, imaginary = [0] * 9, [0] * 9
    (r1, i1), (r3, i3) = c1, c3
    for k in range(6):
        r, i = f[2 * k], f[2 * k + 1]
        real[k] += r * c0
        imaginary[k] += i * c0
        real[k + 1] += r * r1 - i * i1
        imaginary[k + 1] += r * i1 + i * r1
        real[k + 3] += r * r3 - i * i3
        imaginary[k + 3] += r * i3 + i * r3
    return _reduced(real, imaginary)


def _times(f: Fq12, g: Fq12) -> Fq12:
    real, imaginary = [0] * 11, [0] * 11
    for j in range(6):
        r1, i1 = f[2 * j], f[2 * j + 1]
        for k in range(6):
            r2, i2 = g[2 * k], g[2 * k + 1]
            real[j + k] += r1 * r2 - i1 * i2
            imaginary[j + k] += r1 * i2 + i1 * r2
    return _reduced(real, imaginary)


def _square(f: Fq12) -> Fq12:
    real, imaginary = [0] * 11, [0] * 11
    for j in range(6):
        r1, i1 = f[2 * j], f[2 * j + 1]
        real[2 * j] += (r1 + i1) * (r1 - i1)
        imaginary[2 * j] += 2 * r1 * i1
        r1, i1 = 2 * r1, 2 * i1
        for k in range(j + 1, 6):
            r2, i2 = f[2 * k], f[2 * k + 1]
            real[j + k] += r1 * r2 - i1 * i2
            imaginary[j + k] += r1 * i2 + i1 * r2
    return _reduced(real, imaginary)


def _reduced(real: list[int], imaginary: list[int]) -> Fq12:
    """Replace w⁶ by ξ = 9 + i in the higher powers, and reduce all coefficients."""
    for k in range(6, len(real)):
        real[k - 6] += 9 * real[k] - imaginary[k]
        imaginary[k - 6] += real[k] + 9 * imaginary[k]
    return [value % P for k in range(6) for value in (real[k], imaginary[k])]


def _final_power(f: Fq12, check: Callable[[], None]) -> Fq12:
    """F to the power of (P¹² − 1) / ORDER."""
    easy = _times(_conjugate(f), _inverse(f, check))  # f to the power of P⁶ − 1
    easy = _times(_frobenius_2(easy), easy)  # and P² + 1
    table = [_ONE, easy]
    while len(table) < 16:
        table.append(_times(table[-1], easy))
    result = _ONE
    for digit in f"{_HARD_EXPONENT:x}":
        check()
        for _ in range(4):
            result = _square(result)
        result = _times(result, table[int(digit, 16)])
    return result


def _conjugate(f: Fq12) -> Fq12:
    """F to the power of P⁶, which changes the sign of w."""
    return [value if at % 4 < 2 else -value % P for at, value in enumerate(f)]


def _frobenius_2(f: Fq12) -> Fq12:
    """F to the power of P²."""
    return [value * _FROBENIUS_2[at // 2] % P for at, value in enumerate(f)]


def _inverse(f: Fq12, check: Callable[[], None]) -> Fq12:
    """The inverse of f, from its norms: first into the field without odd powers of w, then into that of i."""
    check()
    half = _conjugate(f)
    even = _times(f, half)  # has only the powers 0, 2 and 4 of w
    second = _frobenius_2(even)
    third = _frobenius_2(second)
    others = _times(second, third)
    norm = _times(even, others)  # has only the power 0
    scale = pow(norm[0] * norm[0] + norm[1] * norm[1], -1, P)
    inverse = [norm[0] * scale % P, -norm[1] * scale % P, *[0] * 10]
    return _times(_times(half, others), inverse)
