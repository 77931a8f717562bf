"""The comparison of two execution clients: its states, what is judged, and when the new one is rolled back."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.types.execution import ClientAnswer, DualPathState, PayloadResults
from alysd.types.hashes import PayloadHash
from alysd.types.units import Height, Wei
from alysd.workflows.dual_path import FEWEST, MOST_OPEN, NEW, WINDOW, Comparison, DualPath
from tests.thorough import cases

OLD = 1 - NEW


@attrs.define
class Share:
    """A flag for some numbers."""

    used: bool = True
    every: int = 1

    def on(self, number: int = 0) -> bool:
        return self.used and number % self.every == 0


def block(number: int) -> PayloadHash:
    return PayloadHash(number.to_bytes(32, "big"))


def answer(number: int, fees: int | None = 1, seconds: float = 0.1, failure: str = "") -> ClientAnswer:
    return ClientAnswer(block(number), None if fees is None else PayloadResults(Wei(fees)), seconds, failure)


def compared(dual: DualPath, number: int, new: ClientAnswer, old: ClientAnswer | None = None) -> Comparison | None:
    """Compare one block."""
    assert dual.begin(block(number), Height(number))
    assert dual.add(OLD, old or answer(number)) is None
    return dual.add(NEW, new)


@pytest.mark.parametrize(
    ("compare", "prefer", "state", "preferred"),
    [
        (False, False, "legacy_only", OLD),
        (True, False, "both_prefer_old", OLD),
        (True, True, "both_prefer_new", NEW),
        (False, True, "new_only", NEW),
    ],
)
def test_the_flags_decide_on_the_state(compare: bool, prefer: bool, state: DualPathState, preferred: int) -> None:
    dual = DualPath(Share(compare), Share(prefer))
    assert (dual.state, dual.preferred, dual.begin(block(1), Height(1))) == (state, preferred, compare)
    dual.rolled_back = "why"
    assert (dual.state, dual.preferred, dual.begin(block(2), Height(2))) == ("rolled_back", OLD, False)
    assert DualPath().state == "legacy_only"
    assert not DualPath().begin(block(1), Height(1))


def test_only_the_chosen_blocks_are_compared_and_each_once() -> None:
    dual = DualPath(Share(every=4))
    assert [number for number in range(12) if dual.begin(block(number), Height(number))] == [0, 4, 8]
    assert not dual.begin(block(8), Height(8))
    assert dual.add(OLD, answer(1)) is None


def test_answers_are_equal_or_not_in_either_order() -> None:
    dual = DualPath(Share())
    assert compared(dual, 1, answer(1)) == Comparison(True, 0.1, 0.1)
    assert compared(dual, 2, answer(2, fees=7, seconds=0.3)) == Comparison(False, 0.1, 0.3)
    assert compared(dual, 3, answer(3, fees=None), answer(3, fees=None)) == Comparison(True, 0.1, 0.1)
    assert compared(dual, 4, answer(4, fees=None)) == Comparison(False, 0.1, 0.1)
    assert compared(dual, 5, answer(5, failure="down")) == Comparison(None, 0.1, None)
    assert compared(dual, 6, answer(6), answer(6, failure="down")) is None
    dual.begin(block(7), Height(7))
    assert dual.add(NEW, answer(7)) is None
    assert dual.add(OLD, answer(7)) == Comparison(True, 0.1, 0.1)
    found = dual.status()
    assert (found.compared, found.success, found.agreement) == (6, 5 / 6, 3 / 5)
    assert (found.old_seconds, found.new_seconds) == pytest.approx((0.1, 0.14))
    assert attrs.evolve(DualPath().status(), state="legacy_only").agreement is None


def test_a_missing_answer_of_the_new_client_is_a_failure_and_of_the_old_none() -> None:
    dual = DualPath(Share())
    for number in range(MOST_OPEN + 3):
        assert dual.begin(block(number), Height(number))
        dual.add(OLD if number < 2 else NEW, answer(number))
    assert (dual.status().compared, dual.status().success) == (2, 0.0)


def test_nothing_is_judged_before_there_are_enough() -> None:
    dual = DualPath(Share())
    for number in range(FEWEST - 1):
        compared(dual, number, answer(number, fees=9))
        assert not dual.rolled_back
    compared(dual, FEWEST, answer(FEWEST))
    assert dual.rolled_back == "the answers for 95.0% of 20 blocks differ"


@pytest.mark.parametrize(
    ("bad", "count", "reason"),
    [
        ({"failure": "down"}, 5, ""),
        ({"failure": "down"}, 6, "the second client has answered 94.9% of 99 blocks"),
        ({"fees": 2}, 1, ""),
        ({"fees": 2}, 2, "the answers for 1.0% of 99 blocks differ"),
        ({"seconds": 0.6}, 100, "the second client takes 0.600 s per block, the first 0.100 s"),
        ({"seconds": 0.49}, 100, ""),
    ],
)
def test_the_triggers(bad: dict[str, object], count: int, reason: str) -> None:
    """The seeds' numbers: 95 % of answers, 99 % of equal ones, twice the time."""
    dual = DualPath(Share())
    for number in range(WINDOW):
        late = number >= WINDOW - count
        new = answer(number, **bad) if late else answer(number)  # pyright: ignore[reportArgumentType]
        compared(dual, number, new)
        if dual.rolled_back:
            break
    assert dual.rolled_back == reason


def test_a_slow_pair_is_judged_by_the_ratio() -> None:
    dual = DualPath(Share())
    for number in range(FEWEST):
        compared(dual, number, answer(number, seconds=1.9), answer(number, seconds=1.0))
    assert not dual.rolled_back
    for number in range(FEWEST, 4 * FEWEST):
        if not dual.rolled_back:
            compared(dual, number, answer(number, seconds=2.4), answer(number, seconds=1.0))
    assert dual.rolled_back.startswith("the second client takes 2.0")


def test_both_flags_off_begin_anew() -> None:
    compare, prefer = Share(), Share()
    dual = DualPath(compare, prefer, rolled_back="why")
    dual.refresh()
    compare.used = False
    dual.refresh()
    assert dual.state == "rolled_back", "one flag is on"
    prefer.used = False
    dual.refresh()
    compare.used = True
    assert (dual.state, dual.status().compared) == ("both_prefer_old", 0)


@settings(max_examples=cases(50, 500), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([OLD, NEW]), st.sampled_from(["", "down"]))))
def test_the_memory_is_bounded_whatever_comes(steps: list[tuple[int, int, str]]) -> None:
    dual = DualPath(Share())
    for number, place, failure in steps:
        dual.begin(block(number), Height(number))
        dual.add(place, answer(number, failure=failure))
        assert len(dual._open) <= MOST_OPEN  # pyright: ignore[reportPrivateUsage]
        assert dual.status().compared <= WINDOW
