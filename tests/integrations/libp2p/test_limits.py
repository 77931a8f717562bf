"""The arithmetic of the bounds: what all of them allow together fits into the limits of the process."""

import re

from alysd.peer_host_process import FILES, MEMORY, STOP_SECONDS
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


def test_the_memory_of_all_bounds_together_is_below_that_of_the_process() -> None:
    """Strangers that use every bound at the same time would end the process."""
    from alysd.integrations.libp2p import limits

    text = limits.__doc__ or ""
    rows = [int(size) for size in re.findall(r"^\| .* \| (\d+)", text, re.MULTILINE)]
    total = int((re.search(r"^\| total \| (\d+)", text, re.MULTILINE) or [0, 0])[1])
    assert sum(rows) == 2 * total
    assert total << 20 < MEMORY
    per_stranger = limits.CONNECTION_UNREAD + limits.RPC_BYTES + limits.QUEUE_BYTES
    assert 64 * per_stranger >> 20 in rows


def test_there_are_files_for_all_connections() -> None:
    """A process without a free file accepts no connection."""
    from alysd.integrations.libp2p import limits

    strangers = configured = 64  # the most that the configuration allows
    assert limits.HANDSHAKES + strangers + configured < FILES


def test_an_honest_peer_keeps_the_bounds() -> None:
    """A bound that a valid message exceeds would disconnect honest peers."""
    from alysd.integrations.libp2p import limits
    from alysd.wire.gossip import APPROVAL_BYTES, MAX_PROPOSAL_BYTES

    assert limits.PROPOSAL_BYTES >= MAX_PROPOSAL_BYTES
    assert limits.APPROVAL_BYTES >= APPROVAL_BYTES
    assert limits.QUEUE_BYTES >= limits.PROPOSAL_BYTES
    assert limits.RPC_BYTES > limits.PROPOSAL_BYTES
    assert limits.JUDGED_PER_PEER < limits.RPCS_BURST
    assert limits.PING_SECONDS < limits.READ_SECONDS / 2


def test_a_peer_host_that_is_stopped_has_the_time_to_say_goodbye() -> None:
    from alysd.integrations.libp2p import limits

    assert limits.CLOSE_SECONDS < STOP_SECONDS
