"""A header's rules against its parent are the specification's, at every boundary."""

import contextlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.rules import (
    BrokenRule,
    check_header,
    check_outcome,
    next_base_fee,
    next_excess_blob_gas,
)
from alysd.embedded.engine.specification import EthereumException, Uint, fork
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import ZERO_HASH, PayloadHash
from alysd.types.units import Wei
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import header_of, with_hash
from tests.embedded.engine.kit import genesis
from tests.embedded.engine.stock import stock_header

PARENT = header_of(genesis_payload(genesis()), ZERO_HASH)
limits = st.sampled_from((5_000, 5_001, 10_000, 30_000_000, 2**40))


@st.composite
def parents(draw: st.DrawFn) -> ExecutionHeader:
    limit = draw(limits)
    parent = attrs.evolve(
        PARENT,
        gas_limit=limit,
        gas_used=draw(st.sampled_from((0, 1, limit // 2 - 1, limit // 2, limit // 2 + 1, limit))),
        base_fee=Wei(draw(st.sampled_from((0, 1, 7, 8, 10**9, 2**100)))),
        excess_blob_gas=draw(st.sampled_from((0, 131_072, 393_216, 786_432))),
        blob_gas_used=draw(st.sampled_from((0, 131_072, 393_216, 786_432))),
    )
    return with_hash(parent)


@given(parents())
def test_the_base_fee_and_the_blob_gas_are_the_specifications(parent: ExecutionHeader) -> None:
    limit = Uint(parent.gas_limit)
    assert next_base_fee(parent) == fork.calculate_base_fee_per_gas(
        limit, limit, Uint(parent.gas_used), Uint(parent.base_fee)
    )
    assert next_excess_blob_gas(parent) == fork.calculate_excess_blob_gas(stock_header(parent))


@given(
    parents(),
    st.sampled_from((-1, 0, 1)),
    st.sampled_from((-1, 0, 1)),
    st.sampled_from((-1.0, -1 / 1024, 0.0, 1 / 1024, 1.0)),
    st.integers(-1, 1),
    st.sampled_from((0, 32, 33)),
)
def test_headers_are_judged_as_the_specification_does(
    parent: ExecutionHeader, number: int, time: int, limit: float, nudge: int, extra: int
) -> None:
    gas_limit = max(0, parent.gas_limit + int(parent.gas_limit * limit) + nudge)
    child = attrs.evolve(
        parent,
        parent_hash=parent.hash,
        number=max(0, parent.number + 1 + number),
        timestamp=max(0, parent.timestamp + time),
        gas_limit=gas_limit,
        gas_used=min(gas_limit, 21_000),
        base_fee=next_base_fee(parent),
        excess_blob_gas=next_excess_blob_gas(parent),
        extra_data=bytes(extra),
    )
    child = with_hash(child)
    ours = theirs = False
    with contextlib.suppress(BrokenRule):
        check_header(child, parent)
        ours = True
    with contextlib.suppress(EthereumException):
        chain = fork.BlockChain([fork.Block(stock_header(parent), (), (), ())], fork.State(), fork.U64(1))
        fork.validate_header(chain, stock_header(child))
        theirs = True
    assert ours == theirs


def test_a_gas_limit_that_no_client_can_hold_is_refused() -> None:
    parent = attrs.evolve(PARENT, gas_limit=2**63 - 1)
    child = attrs.evolve(
        parent,
        number=1,
        timestamp=1,
        gas_limit=2**63,
        base_fee=next_base_fee(parent),
        parent_hash=PayloadHash(b""),
    )
    with pytest.raises(BrokenRule, match="be from 5000 to 9223372036854775807"):
        check_header(child, parent)


def test_an_outcome_is_compared_field_by_field() -> None:
    check_outcome(PARENT, PARENT)
    for change in (
        {"gas_used": 1},
        {"blob_gas_used": 1},
        {"state_root": b""},
        {"receipts_root": b""},
        {"logs_bloom": b""},
    ):
        with pytest.raises(BrokenRule):
            check_outcome(attrs.evolve(PARENT, **change), PARENT)  # type: ignore[arg-type]
