"""The log events of the node: one frozen class per log line, with its text and its JSON form (docs/logs.md)."""
