"""The whole node measured against its goals: `python -m benchmarks.node`."""
