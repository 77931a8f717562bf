"""The numbers on docs/protocol.md are those of the code."""

import re
from pathlib import Path

import pytest

from alysd.actors.gossip_judge import ALLOWED_AT_ONCE, ALLOWED_PER_SLOT, APPROVALS_PER_SLOT, PROPOSALS_PER_SLOT
from alysd.actors.gossip_memory import MOST_PROPOSALS, MOST_UNKNOWN
from alysd.actors.peer_requests import BYTE_RATE, REQUEST_RATE
from alysd.actors.peer_scores import BAN_SECONDS, BOUND, HALF_LIFE, PENALTIES
from alysd.actors.sync import MOST_ANCESTORS
from alysd.actors.sync_peers import RANGES_PER_PEER
from alysd.actors.sync_ranges import AT_ONCE
from alysd.types.peers import PeerOffence
from alysd.wire.gossip import APPROVAL_BYTES, MAX_PROPOSAL_BYTES
from alysd.wire.sync import MAX_PROPOSALS, MAX_RANGE_BLOCKS, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MAX_ROOTS
from tests.integrations.libp2p import needs_libp2p

PAGE = (Path(__file__).parents[1] / "docs/protocol.md").read_text()
TEXT = " ".join(PAGE.split())
WORDS = {2: "two", 4: "four"}


def test_the_table_of_offences_has_the_penalties_and_the_times() -> None:
    """An operator would look for another reason why a peer is kept away."""
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) minutes \|$", PAGE, re.MULTILINE)
    table = {words: (float(points), 60.0 * int(minutes)) for words, points, minutes in rows}
    assert table == {one.value: (PENALTIES[one], BAN_SECONDS[one]) for one in PeerOffence}


PER_SECOND, MIB = REQUEST_RATE.per_second, 2**20
SENTENCES = [
    f"A peer may send {ALLOWED_PER_SLOT * PROPOSALS_PER_SLOT:g} proposals per slot",
    f"and {ALLOWED_AT_ONCE * PROPOSALS_PER_SLOT:g} at once; an honest one sends {PROPOSALS_PER_SLOT} per slot",
    f"a peer may send {ALLOWED_PER_SLOT * APPROVALS_PER_SLOT:g} approvals per slot",
    f"approvals per slot and {ALLOWED_AT_ONCE * APPROVALS_PER_SLOT:g} at once",
    f"at most {PER_SECOND:g} requests per second and {BYTE_RATE.per_second / MIB:g} MiB per second",
    f"with bursts of {REQUEST_RATE.burst:g} requests and {BYTE_RATE.burst / MIB:g} MiB",
    f"{PER_SECOND:g} requests per second are enough for {PER_SECOND * MAX_RANGE_BLOCKS:,g} blocks per second",
    f"has fallen to −{-BOUND:g} or below",
    f"halves every {HALF_LIFE / 60:g} minutes",
    f"| {MAX_PROPOSAL_BYTES // 1024} KiB |",
    f"| {APPROVAL_BYTES} bytes |",
    f"of other blocks {WORDS[MOST_UNKNOWN]} per authority and slot",
    f"A request has at most {MAX_REQUEST_BYTES // 1024} KiB",
    f"`count` from 1 to {MAX_RANGE_BLOCKS}",
    f"`List[Bytes32, {MAX_ROOTS}]`",
    f"`List[Proposal, {MAX_PROPOSALS}]`",
    f"An answer has at most {MAX_RESPONSE_BYTES // MIB} MiB",
    f"up to {WORDS[AT_ONCE]} ranges of {MAX_RANGE_BLOCKS} blocks at the same time",
    f"at the same time, at most {WORDS[RANGES_PER_PEER]} of them from one peer",
    f"at most {MOST_ANCESTORS - 1} further ancestors",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_page_has_the_number_of_the_code(sentence: str) -> None:
    """Another implementation would be refused, or cut off, for keeping to the page."""
    assert MOST_PROPOSALS == PROPOSALS_PER_SLOT
    assert sentence in TEXT


@needs_libp2p
def test_the_peer_host_has_the_limits_of_the_page() -> None:
    """The peer host answered bursts of half the size, and took requests of 64 KiB that the node then refused."""
    from alysd.integrations.libp2p import limits

    assert REQUEST_RATE.per_second == limits.REQUESTS_PER_SECOND
    assert REQUEST_RATE.burst == limits.REQUESTS_BURST
    assert limits.REQUEST_BYTES == MAX_REQUEST_BYTES
    assert limits.PROPOSAL_BYTES == MAX_PROPOSAL_BYTES
    assert f"at most {limits.ANSWERS_PER_PEER} requests at the same time" in TEXT
    assert f"more than {limits.REJECTIONS} rejected messages" in TEXT
