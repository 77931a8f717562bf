"""The rules of the peg to Bitcoin, as pure functions without I/O."""
