"""Compares the actor runtime with other runtimes: `python -m benchmarks.actors`.

`rows` has the figures and goals.
"""
