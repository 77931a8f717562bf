"""The node's configuration: its shape, its layers, and what is wrong with it (docs/configuration.md)."""
