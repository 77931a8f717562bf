"""Execution clients over the Engine API; the embedded one is in `alysd.embedded`."""
