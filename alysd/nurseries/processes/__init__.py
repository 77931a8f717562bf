"""A child in an operating-system process of its own, with the address and supervision of any actor.

- `spec`: the child as data: `process(...)`, its limits, and the addresses that it may reach.
- `child`, `session`: the parent's side. It forwards the mailbox to the process and supervises the process.
  `outlet` sends the messages of one address, `reach` delivers the messages that the process sends, `launch` starts
  and ends processes, `output` logs their output, `unbegun` bounds how often a message returns.
- `bootstrap`, `host`, `hosted`: the side of the process. `sandbox` gives up rights, `inlet` delivers the messages
  that arrive.
- `wire`, `frames`, `progress`, `errors`, `answers`, `declared`: shared by both sides.

A program that has no such child does not load the modules of either side.
"""
