"""The node as a whole against its goals: `python -m benchmarks.node`."""
