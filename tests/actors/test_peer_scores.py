"""Scores: which offences cost a peer its connection, and how long they are remembered."""

import pytest

from alysd.actors.peer_scores import BAN_SECONDS, BOUND, HALF_LIFE, KEPT, PENALTIES, PeerScores
from alysd.types.peers import PeerOffence


def test_every_offence_has_a_penalty_and_a_time_of_exclusion() -> None:
    assert set(PENALTIES) == set(BAN_SECONDS) == set(PeerOffence)
    assert all(penalty > 0 for penalty in PENALTIES.values())


def test_a_new_peer_has_the_best_score() -> None:
    assert PeerScores().score("peer", 5.0) == 0.0


@pytest.mark.parametrize(
    ("offence", "enough"),
    [
        (PeerOffence.FORGED, 1),
        (PeerOffence.FALSE_ANSWER, 1),
        (PeerOffence.OTHER_CHAIN, 1),
        (PeerOffence.MALFORMED, 2),
        (PeerOffence.FALSE_PROPOSAL, 4),
        (PeerOffence.NO_ANSWER, 20),
        (PeerOffence.FLOODING, 50),
    ],
)
def test_offences_add_up_to_the_bound(offence: PeerOffence, enough: int) -> None:
    scores = PeerScores()
    for _ in range(enough - 1):
        assert scores.penalise("peer", offence, 0.0) > BOUND
    assert scores.penalise("peer", offence, 0.0) <= BOUND


def test_time_forgives() -> None:
    scores = PeerScores()
    scores.penalise("peer", PeerOffence.MALFORMED, 100.0)
    assert scores.score("peer", 100.0 + HALF_LIFE) == -30.0
    assert scores.penalise("peer", PeerOffence.MALFORMED, 100.0 + HALF_LIFE) == -90.0


def test_an_exclusion_does_not_restore_the_score() -> None:
    """A peer that begins again at once is disconnected after half as many offences."""
    scores = PeerScores()
    scores.penalise("peer", PeerOffence.FORGED, 0.0)
    assert scores.score("peer", BAN_SECONDS[PeerOffence.FORGED]) == BOUND / 2


def test_the_number_of_scores_is_bounded_and_the_newest_are_kept() -> None:
    scores = PeerScores()
    for place in range(KEPT + 1):
        scores.penalise(f"peer {place}", PeerOffence.FLOODING, 0.0)
    assert scores.score("peer 0", 0.0) == 0.0
    assert scores.score("peer 1", 0.0) == scores.score(f"peer {KEPT}", 0.0) == -2.0
