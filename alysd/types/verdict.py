"""The verdict of an execution client on a payload, independent of the client's protocol."""

import attrs


@attrs.frozen
class Valid:
    """The payload has been executed and satisfies all rules of execution."""


@attrs.frozen
class Invalid:
    """The payload breaks a rule of execution; `reason` is the client's message, for logs and errors."""

    reason: str


@attrs.frozen
class Syncing:
    """The payload could not be executed: the client lacks the parent block or the state after it."""


Verdict = Valid | Invalid | Syncing
