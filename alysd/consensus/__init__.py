"""What every node must agree on (docs/protocol.md): pure functions named after the rules.

No clock, no log, no waiting, no bytes from outside: values in, values or a named error out.
"""
