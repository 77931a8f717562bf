"""The reason of a revert, from whatever bytes a contract returns."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.revert_reasons import ERROR_SELECTOR, MAX_REASON, PANIC_SELECTOR, revert_reason


@given(st.text(max_size=200))
def test_a_reason_is_read(reason: str) -> None:
    assert revert_reason(ERROR_SELECTOR + encode(["string"], [reason])) == reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x01, "assert(false)"),
        (0x11, "arithmetic underflow or overflow"),
        (0x12, "division or modulo by zero"),
        (0x99, "unknown panic code: 0x99"),
    ],
)
def test_a_panic_is_named(code: int, words: str) -> None:
    assert revert_reason(PANIC_SELECTOR + code.to_bytes(32, "big")) == words


@given(st.binary(max_size=200))
def test_other_bytes_have_no_reason_and_do_no_harm(rest: bytes) -> None:
    assert revert_reason(rest[:3]) is None
    for known in (ERROR_SELECTOR, PANIC_SELECTOR):
        reason = revert_reason(known + rest)
        assert reason is None or isinstance(reason, str)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(32),
        (2**255).to_bytes(32, "big") + bytes(32),
        (32).to_bytes(32, "big") + (2**200).to_bytes(32, "big"),
        (32).to_bytes(32, "big") + (5).to_bytes(32, "big") + b"four",
    ],
    ids=["nothing", "half", "offset beyond", "length beyond", "cut"],
)
def test_a_reason_that_points_outside_is_none(body: bytes) -> None:
    assert revert_reason(ERROR_SELECTOR + body) is None


def test_a_panic_that_is_cut_is_none() -> None:
    assert revert_reason(PANIC_SELECTOR + bytes(31)) is None


def test_a_reason_is_shown_up_to_a_bound() -> None:
    """Otherwise a contract could fill logs and screens with megabytes."""
    assert revert_reason(ERROR_SELECTOR + encode(["string"], ["x" * 100_000])) == "x" * MAX_REASON


def test_a_reason_that_is_not_text_is_shown_as_far_as_it_is() -> None:
    assert revert_reason(ERROR_SELECTOR + encode(["bytes"], [b"\xffok"])) == "\N{REPLACEMENT CHARACTER}ok"
