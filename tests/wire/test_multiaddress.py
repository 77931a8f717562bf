"""Multiaddresses of peers: what is accepted, and what an operator is told."""

import pytest

from alysd.types.peers import PeerAddress
from alysd.wire.multiaddress import parse_peer_address

PEER = "16Uiu2HAm8ZGMjT2tREXHaUFoJQpfKos93LXhngv6s2oXjRe4YmQt"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"/ip4/192.0.2.7/tcp/9333/p2p/{PEER}", "192.0.2.7", 9333),
        (f"/ip6/2001:db8::7/tcp/1/p2p/{PEER}", "2001:db8::7", 1),
        (f"/dns/node-1.example.org/tcp/65535/p2p/{PEER}", "node-1.example.org", 65535),
    ],
)
def test_an_address_is_read_and_written_again(text: str, host: str, port: int) -> None:
    """A peer would be dialled at another place than its operator said."""
    assert parse_peer_address(text) == PeerAddress(host, port, PEER)
    assert str(parse_peer_address(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a multiaddress such as"),
        ("192.0.2.7:9333", "must be a multiaddress such as"),
        (f"/ip4/192.0.2.7/udp/9333/quic-v1/p2p/{PEER}", "must be a multiaddress such as"),
        ("/ip4/192.0.2.7/tcp/9333", "must be a multiaddress such as"),
        (f"/ip4/192.0.2.7/tcp/0/p2p/{PEER}", "must be a multiaddress such as"),
        (f"/ip4/192.0.2.7/tcp/65536/p2p/{PEER}", "must be a multiaddress such as"),
        (f"/ip4/192.0.2.300/tcp/1/p2p/{PEER}", "192.0.2.300 is not a valid ip4 host"),
        (f"/ip4/2001:db8::7/tcp/1/p2p/{PEER}", "is not a valid ip4 host"),
        (f"/dns/a b/tcp/1/p2p/{PEER}", "a b is not a valid dns host"),
        (f"/ip4/192.0.2.7/tcp/1/p2p/{PEER[:-1]}", "is not the id of a secp256k1 key"),
        (f"/ip4/192.0.2.7/tcp/1/p2p/{PEER[:-1]}0", "is not the id of a secp256k1 key"),
        (f"/ip4/192.0.2.7/tcp/1/p2p/{'z' * 53}", "is not the id of a secp256k1 key"),
        ("/ip4/192.0.2.7/tcp/1/p2p/12D3KooWRm8J3iL796zPFi2EtGGtUJn58AG67gcqzMEmPcKLJJqp", "secp256k1"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    """The node would dial nobody, for ever."""
    with pytest.raises(ValueError, match=reason):
        parse_peer_address(text)
