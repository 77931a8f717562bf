"""The curve alt_bn128 (EIP-196): its points over the field of `P` elements (G1), and over its extension (G2).

Affine points are pairs of coordinates; the point at infinity is None. An element of the extension is a pair
(a, b), which means a + b·i with i² = −1.
"""

from collections.abc import Callable

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The number of elements of the field."""

ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The number of points of G1, and of those of G2."""

Fq2 = tuple[int, int]
G1 = tuple[int, int] | None
G2 = tuple[Fq2, Fq2] | None


def multiply2(a: Fq2, b: Fq2) -> Fq2:
    """The product of two elements of the extension."""
    (a0, a1), (b0, b1) = a, b
    return (a0 * b0 - a1 * b1) % P, (a0 * b1 + a1 * b0) % P


def square2(a: Fq2) -> Fq2:
    """The square of an element of the extension."""
    a0, a1 = a
    return (a0 + a1) * (a0 - a1) % P, 2 * a0 * a1 % P


def invert2(a: Fq2) -> Fq2:
    """The inverse of an element of the extension that is not zero."""
    a0, a1 = a
    norm = pow(a0 * a0 + a1 * a1, -1, P)
    return a0 * norm % P, -a1 * norm % P


def power2(a: Fq2, exponent: int) -> Fq2:
    """An element of the extension to a power."""
    result = (1, 0)
    for bit in f"{exponent:b}":
        result = square2(result)
        if bit == "1":
            result = multiply2(result, a)
    return result


XI: Fq2 = (9, 1)
"""ξ: the curve of G2 is y² = x³ + 3/ξ."""

_inverse_of_xi = invert2(XI)
_B2: Fq2 = (3 * _inverse_of_xi[0] % P, 3 * _inverse_of_xi[1] % P)


def on_curve(point: G1) -> bool:
    """Whether a pair of field elements is a point of G1."""
    return point is None or (point[1] * point[1] - point[0] ** 3 - 3) % P == 0


def on_twist(point: G2) -> bool:
    """Whether a pair of elements of the extension is a point of the curve of G2."""
    if point is None:
        return True
    x, y = point
    cube, square = multiply2(square2(x), x), square2(y)
    return square == ((cube[0] + _B2[0]) % P, (cube[1] + _B2[1]) % P)


def add(a: G1, b: G1) -> G1:
    """The sum of two points of G1."""
    if a is None or b is None:
        return a or b
    if a[0] != b[0]:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    elif a[1] == b[1]:  # no point of G1 has order two, so its y is not zero
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        return None
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(point: G1, factor: int) -> G1:
    """A multiple of a point of G1."""
    result: G1 = None
    for bit in f"{factor % ORDER:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def add2(a: G2, b: G2) -> tuple[G2, Fq2]:
    """The sum of two points of the curve of G2, and the slope of the line through them; zero if there is none."""
    if a is None or b is None:
        return a or b, (0, 0)
    (ax, ay), (bx, by) = a, b
    if ax != bx:
        slope = multiply2((by[0] - ay[0], by[1] - ay[1]), invert2((bx[0] - ax[0], bx[1] - ax[1])))
    elif ay == by and ay != (0, 0):
        square = square2(ax)
        slope = multiply2((3 * square[0], 3 * square[1]), invert2((2 * ay[0], 2 * ay[1])))
    else:
        return None, (0, 0)
    square = square2(slope)
    x = ((square[0] - ax[0] - bx[0]) % P, (square[1] - ax[1] - bx[1]) % P)
    rise = multiply2(slope, (ax[0] - x[0], ax[1] - x[1]))
    return (x, ((rise[0] - ay[0]) % P, (rise[1] - ay[1]) % P)), slope


def in_subgroup(point: G2, check: Callable[[], None]) -> bool:
    """Whether a point of the curve of G2 is one of the `ORDER` points of G2. Calls `check` in between."""
    result: G2 = None
    for number, bit in enumerate(f"{ORDER:b}"):
        if number % 32 == 0:
            check()
        result = add2(result, result)[0]
        if bit == "1":
            result = add2(result, point)[0]
    return result is None
