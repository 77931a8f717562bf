"""The messages to the bridge, which compares the peg's parts of blocks with Bitcoin."""

import attrs

from alysd.nurseries import Ask
from alysd.types.block import Block
from alysd.types.hashes import BlockHash
from alysd.types.peg import PegContents


class Bridge:
    """Protocol of the bridge. Only a node of a chain with a peg that has a Bitcoin node runs this actor."""


@attrs.frozen
class GetPegContents(Ask[Bridge, PegContents]):
    """Get what this node would put into a child of `parent`, from what its Bitcoin node sees now.

    The contents satisfy the rules of `alysd.peg` after `parent`. Raises `NotNow` while the Bitcoin node does not
    answer.
    """

    parent: BlockHash


@attrs.frozen
class JudgePegContents(Ask[Bridge, None]):
    """Compare the peg's parts of a block with what this node's Bitcoin node sees, before this authority approves.

    Raises `NotSeenOnBitcoin` for a difference, and `NotNow` while the Bitcoin node does not answer; the authority
    then abstains.
    """

    block: Block


@attrs.frozen
class CheckNotHalted(Ask[Bridge, None]):
    """Check that Bitcoin shows every deposit that the chain's head has minted, before this member signs a payment.

    Raises `NotSeenOnBitcoin` while the peg is halted, and `NotNow` while the Bitcoin node does not answer.
    """
