"""The checkpoint: a final block that the operator trusts."""

import attrs

from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height


@attrs.frozen
class Checkpoint:
    """A final block that the operator trusts (docs/protocol.md, "Sync"). The text form is HEIGHT:HASH."""

    height: Height
    hash: BlockHash

    def __str__(self) -> str:
        return f"{self.height}:{displayed(self.hash)}"
