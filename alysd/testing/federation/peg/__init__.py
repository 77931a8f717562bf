"""A simulated federation with a peg: one fake Bitcoin, accounts on Alys, random users, liars, and invariants."""
