import attrs
import pytest

from alysd.consensus.production import halted
from alysd.testing.blocks import genesis, make_spec
from alysd.types.units import Height


@pytest.mark.parametrize(("waiting", "expected"), [(0, False), (100, False), (101, True)])
def test_production_halts_above_the_limit_and_not_at_it(waiting: int, expected: bool) -> None:
    spec = make_spec(max_blocks_without_auxpow=100)
    state = attrs.evolve(genesis(spec), height=Height(7 + waiting), last_final_height=Height(7))
    assert halted(state, spec) is expected
