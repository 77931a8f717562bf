"""The identity of this node, and the ids of peers as text.

The class `ID` is imported from here, because pyright finds no types in `libp2p.peer`, which has no `__init__.py`.
"""

import attrs
from libp2p.crypto.keys import KeyPair, PrivateKey
from libp2p.crypto.secp256k1 import Secp256k1PrivateKey
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519
from libp2p.peer.id import ID  # pyright: ignore[reportMissingTypeStubs]

__all__ = ["ID", "Identity", "peer_id", "peer_text"]


@attrs.frozen
class Identity:
    """The key pair of a node and the id that follows from it. `noise` is the session key, new at each start."""

    pair: KeyPair
    id: ID
    noise: PrivateKey = attrs.field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> "Identity":
        """The identity of a node with this secp256k1 secret."""
        private = Secp256k1PrivateKey.from_bytes(secret)
        pair = KeyPair(private, private.get_public_key())
        return cls(pair, ID.from_pubkey(pair.public_key), new_x25519().private_key)


def peer_id(text: str) -> ID:
    """The id that is written as `text`."""
    return ID.from_string(text)


def peer_text(peer: ID) -> str:
    """An id in base 58, as in a multiaddress."""
    return peer.to_base58()
