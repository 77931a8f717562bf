"""Reconciles the peg from Bitcoin and the execution layer alone (`alysd audit`, docs/peg.md, "For operators").

It imports nothing of `alysd.peg`, of the consensus rules or of the actors, so it does not repeat a mistake in
them. Bitcoin Core derives the federation's address, and checks the addresses of the users.
"""
