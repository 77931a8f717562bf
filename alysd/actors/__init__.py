"""State of the moment and I/O: each actor owns one thing, speaks by messages and meets integrations as ports."""
