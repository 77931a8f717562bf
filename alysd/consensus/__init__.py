"""The consensus rules (docs/protocol.md) as pure functions, named after the rules.

They take values and return values or raise a named error. They do no I/O, do not log, do not wait, and read
neither the clock nor encoded data.
"""
