"""The actor runtime beside its peers: `python -m benchmarks.actors`. What is measured, and the goals: `rows`."""
