"""The rules of the bridge to Bitcoin: pure functions, no I/O."""
