"""Reads, merges and validates the node's configuration (docs/configuration.md)."""
