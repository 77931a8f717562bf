"""Every log line of the node: one frozen class each, with its text and its JSON form (docs/logs.md)."""
