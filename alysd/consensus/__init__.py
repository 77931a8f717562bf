"""The consensus rules (docs/protocol.md): functions named after the rules, and the block tree of the fork choice.

The functions take values, and return values or raise a named error. Nothing here does I/O, logs, waits or reads
the clock. Of encoded data, only the commitment in a coinbase is parsed here.
"""
