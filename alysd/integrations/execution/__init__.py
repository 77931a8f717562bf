"""Execution clients: real ones over the Engine API, and one embedded in the node for development."""
