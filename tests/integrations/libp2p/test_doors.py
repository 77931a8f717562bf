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
    near = [place for number in range(20) if (place := doors.admit(f"p{number}", "192.0.2.1"))]
    assert len(near) == limits.STRANGERS_PER_ADDRESS
    far = [place for number in range(20) if (place := doors.admit(f"q{number}", f"192.0.2.{number + 2}"))]
    assert len(far) == 4
    member = doors.admit("member", "192.0.2.1")
    assert member is not None
    doors.dismiss(member)
    assert not doors.admit("p99", "192.0.2.99")
    doors.dismiss(near[0])
    assert doors.admit("p99", "192.0.2.99")


async def test_a_peer_keeps_the_kind_of_its_place_when_the_configuration_changes(
    autojump_clock: MockClock,
) -> None:
    """Each member that was added while it was connected would take the place of a stranger for ever."""
    from alysd.integrations.libp2p.doors import Doors

    doors = Doors({"old": "192.0.2.1"}, 1)
    stranger, old = doors.admit("new", "192.0.2.2"), doors.admit("old", "192.0.2.1")
    assert stranger is not None
    assert old is not None
    doors.change({"new": "192.0.2.2"}, 1)
    assert doors.admit("new", "192.0.2.2"), "a configured peer needs no place"
    assert not doors.admit("old", "192.0.2.1"), "the only place is taken until the stranger's connection ends"
    doors.dismiss(old)
    assert not doors.admit("old", "192.0.2.1")
    doors.dismiss(stranger)
    assert doors.admit("old", "192.0.2.1")


async def test_a_peer_that_is_added_is_not_banned_any_more(autojump_clock: MockClock) -> None:
    """A member that had connected before the operator added it would stay out for an hour."""
    from alysd.integrations.libp2p.doors import Doors

    doors = Doors({"old": None}, 0)
    doors.ban("new", 3600)
    doors.ban("old", 3600)
    doors.change({"old": None, "new": None}, 0)
    assert doors.admit("new", "192.0.2.2")
    assert not doors.admit("old", "192.0.2.1"), "a reload does not excuse what a configured peer has done"


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
    place = doors.admit("mobile", "203.0.113.77")
    assert place is not None
    doors.dismiss(place)
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
