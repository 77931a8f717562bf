"""Measures the node and compares the figures with their goals: `python -m benchmarks.node`."""
