"""Reconciles the peg from Bitcoin and the execution layer alone (`alysd audit`, docs/peg.md, "For operators").

It is apart from the daemon: it imports nothing of `alysd.peg`, of the consensus rules or of the actors, so that a
mistake there cannot hide itself here. Bitcoin Core derives the federation's address and judges the users'.
"""
