"""The scores of peers: the sum of the penalties for their offences, which decays with time.

A score begins at 0. Each offence lowers it, and it halves every `HALF_LIFE` seconds. A peer whose score falls to
`BOUND` is disconnected. Scores of disconnected peers are kept, so that a peer does not begin anew by connecting
again. A peer with a new identity does begin anew; the limits on connections per address bound this.
"""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

from alysd.types.peers import PeerOffence

PENALTIES: Mapping[PeerOffence, float] = MappingProxyType({
    PeerOffence.MALFORMED: 60.0,
    PeerOffence.FORGED: 100.0,
    PeerOffence.FLOODING: 2.0,
    PeerOffence.FALSE_PROPOSAL: 30.0,
    PeerOffence.NO_ANSWER: 5.0,
    PeerOffence.WITHHELD: 20.0,
    PeerOffence.FALSE_ANSWER: 100.0,
    PeerOffence.OTHER_CHAIN: 100.0,
})  # fmt: skip
"""The penalty of each offence, in points.

An honest node checks every message that it passes on, so no honest peer sends a forged message or a false answer:
a single one disconnects the peer. Two malformed messages disconnect it: one alone may come from another version of
the program. Four false proposals disconnect it, because a dishonest author can send a different proposal to each
peer. A request may fail because the connection is slow; 20 such failures within minutes show that the peer is of
no use. After a reorganisation to a branch with fewer blocks, an honest peer may lack blocks that it has claimed,
but not five times. An honest peer may exceed a rate by mistake, so only some 50 such offences disconnect a peer.
"""

BOUND = -100.0
"""The score at which a peer is disconnected."""

HALF_LIFE = 600.0
"""The seconds in which a score halves."""

BAN_SECONDS: Mapping[PeerOffence, float] = MappingProxyType(
    {offence: 3600.0 if offence is PeerOffence.OTHER_CHAIN else 600.0 for offence in PeerOffence}
)
"""The seconds for which a disconnected peer is not accepted, by its last offence.

After ten minutes the score has halved. A node of another chain will not soon become one of this chain."""

CONFIGURED_SECONDS = 60.0
"""The seconds for which a configured peer of another chain is kept away. The time is short because its operator,
or that of this node, can correct the files of the chain, and the members of a federation need each other. One
connection per minute costs nothing.
"""

KEPT = 1024
"""The maximum number of scores that are kept: several times the number of connections."""


class PeerScores:
    """The scores of the peers that have offended, by the peer's id. `now` is in seconds of a steady clock.

    If there are too many, the score that changed least recently is forgotten.
    """

    def __init__(self) -> None:
        self._scores: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def score(self, peer: str, now: float) -> float:
        """The present score of `peer`, at most 0."""
        points, since = self._scores.get(peer, (0.0, now))
        return points * 0.5 ** ((now - since) / HALF_LIFE)

    def penalise(self, peer: str, offence: PeerOffence, now: float) -> float:
        """Lower the score of `peer` by the penalty of `offence`, and return the new score."""
        score = self.score(peer, now) - PENALTIES[offence]
        self._scores[peer] = score, now
        self._scores.move_to_end(peer)
        if len(self._scores) > KEPT:
            self._scores.popitem(last=False)
        return score
