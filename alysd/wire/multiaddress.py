"""Multiaddresses of peers, such as `/ip4/192.0.2.7/tcp/9333/p2p/16Uiu2HA…` (multiformats/multiaddr).

Only TCP is used, and only ids of secp256k1 keys (`wire.peer_id`).
"""

import ipaddress
import re

from alysd.types.peers import PeerAddress
from alysd.wire.peer_id import is_peer_id

_SHAPE = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/([^/]{1,253})/tcp/([0-9]{1,5})/p2p/([^/]+)")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def parse_peer_address(text: str) -> PeerAddress:
    """Parse the multiaddress of a peer. Raises `ValueError`, whose text says what is allowed."""
    found = _SHAPE.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        raise ValueError(
            "must be a multiaddress such as /ip4/192.0.2.7/tcp/9333/p2p/16Uiu2HA…, with ip4, ip6 or dns, "
            "and a port from 1 to 65535"
        )
    kind, host, port, peer = found.groups()
    if not _is_host(kind, host):
        raise ValueError(f"{host} is not a valid {kind} host")
    if not is_peer_id(peer):
        raise ValueError(f"{peer} is not the id of a secp256k1 key: `alysd keys show` prints it for a network key")
    return PeerAddress(host, int(port), peer)


def _is_host(kind: str, host: str) -> bool:
    if kind.startswith("dns"):
        return _NAME.fullmatch(host) is not None
    try:
        return ipaddress.ip_address(host).version == (4 if kind == "ip4" else 6)
    except ValueError:
        return False
