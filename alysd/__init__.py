"""The node of Alys, a merge-mined Bitcoin sidechain with Ethereum contracts.

Start reading at `alysd.node`: the whole supervision tree stands there on one page.
"""

__version__ = "0.1.0"
