"""The consensus rules (docs/protocol.md) as pure functions, named after the rules.

They take values and return values or raise a named error. They do no I/O, do not log, do not wait, do not read the
clock, and do not decode bytes.
"""
