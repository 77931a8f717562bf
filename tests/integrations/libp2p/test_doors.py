"""The bounds of inbound connections: places per address and in total, configured peers, and bans."""

import trio
from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


async def test_one_address_cannot_take_all_handshakes(autojump_clock: MockClock) -> None:
    """A machine that opens connections and says nothing would keep all others out."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.doors import Doors

    doors = Doors({}, 32)
    one = [doors.enter("192.0.2.1") for _ in range(20)]
    assert one.count(True) == limits.HANDSHAKES_PER_ADDRESS
    assert doors.enter("192.0.2.2")
    doors.leave("192.0.2.1")
    assert doors.enter("192.0.2.1")
    others = [doors.enter(f"198.51.100.{number}") for number in range(200)]
    assert others.count(True) == limits.HANDSHAKES - limits.HANDSHAKES_PER_ADDRESS - 1


async def test_strangers_have_places_and_configured_peers_need_none(autojump_clock: MockClock) -> None:
    """A member would be kept out by strangers."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.doors import Doors

    doors = Doors({"member": None}, 12)
    assert [doors.admit(f"p{number}", "192.0.2.1") for number in range(20)].count(
        True
    ) == limits.STRANGERS_PER_ADDRESS
    assert [doors.admit(f"q{number}", f"192.0.2.{number + 2}") for number in range(20)].count(True) == 4
    assert doors.admit("member", "192.0.2.1")
    doors.dismiss("member", "192.0.2.1")
    assert not doors.admit("p99", "192.0.2.99")
    doors.dismiss("p0", "192.0.2.1")
    assert doors.admit("p99", "192.0.2.99")


async def test_a_ban_ends_and_bans_are_bounded(autojump_clock: MockClock) -> None:
    """A member that was banned for a minute would stay out, or made-up ids would fill the memory."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.doors import Doors

    doors = Doors({"member": None}, 12)
    doors.ban("member", 60)
    assert not doors.admit("member", "192.0.2.1")
    await trio.sleep(61)
    assert doors.admit("member", "192.0.2.1")
    for number in range(limits.BANS + 1):
        doors.ban(f"p{number}", 60)
    assert not doors.is_banned("p0")
    assert doors.is_banned("p1")


async def test_a_machine_has_one_network() -> None:
    """An IPv6 machine has 2^64 addresses to connect from."""
    from alysd.integrations.libp2p.doors import network_of

    assert network_of("192.0.2.7") == network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


async def test_strangers_cannot_keep_a_configured_peer_from_its_handshake(autojump_clock: MockClock) -> None:
    """Connections that say nothing, from many addresses, would take all places, again and again."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.doors import Doors

    doors = Doors({"member": "203.0.113.5", "mobile": None}, 12)
    assert doors.enter("203.0.113.77")
    doors.leave("203.0.113.77")
    assert doors.admit("mobile", "203.0.113.77")
    doors.dismiss("mobile", "203.0.113.77")
    for number in range(1000):
        doors.enter(f"198.51.{number % 100}.{number // 100}")
    assert not doors.enter("192.0.2.1")
    for network in ("203.0.113.5", "203.0.113.77"):
        entered = [doors.enter(network) for _ in range(20)]
        assert entered.count(True) == limits.HANDSHAKES_PER_ADDRESS
    doors.leave("198.51.0.0")
    assert doors.enter("192.0.2.1")


async def test_the_network_of_a_host_name_is_not_known() -> None:
    from alysd.integrations.libp2p.doors import network_in

    assert network_in("192.0.2.7") == "192.0.2.7"
    assert network_in("node.example.org") is None
