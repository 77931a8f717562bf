"""The asks about a candidate are answered when it ends, each once. `test_approval` has their answers."""

from alysd.errors import NoQuorum
from alysd.nurseries import Deferred
from alysd.testing.blocks import genesis, make_spec
from alysd.types.chain import Forkchoice
from alysd.types.units import Slot
from alysd.workflows.candidate_asks import CandidateAsks

START = genesis(make_spec(1))
TIP = Forkchoice(START, START, START)
ERROR = NoQuorum(Slot(1), 3, 2, ())


def test_an_import_answers_all_asks() -> None:
    """An author would wait until its deadline for a block that is imported."""
    asks, end = CandidateAsks(), Deferred[None]()
    answers = [asks.until_imported(), asks.until_imported(), end]
    asks.until_settled(end)
    asks.imported(TIP)
    assert not any(answer.waiting for answer in answers)


def test_a_failure_answers_all_asks_and_later_ones_wait() -> None:
    """A block without a quorum may still get one: the next ask would have its answer at once."""
    asks, end = CandidateAsks(), Deferred[None]()
    first = asks.until_imported()
    asks.until_settled(end)
    asks.failed(ERROR)
    assert not first.waiting
    assert not end.waiting
    second = asks.until_imported()
    assert second.waiting
    asks.imported(TIP)
    assert not second.waiting


def test_one_ask_can_wait_for_several_candidates() -> None:
    """The author of the next slot waits for either of two candidates."""
    one, other, end = CandidateAsks(), CandidateAsks(), Deferred[None]()
    one.until_settled(end)
    other.until_settled(end)
    other.failed(ERROR)
    assert not end.waiting
    one.imported(TIP)
