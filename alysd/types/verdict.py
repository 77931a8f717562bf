"""An execution client's judgement of a payload, whatever words the client uses for it."""

import attrs


@attrs.frozen
class Valid:
    """The payload is executed and keeps every rule of execution."""


@attrs.frozen
class Invalid:
    """The payload breaks a rule of execution; `reason` in the client's words, for logs and errors."""

    reason: str


@attrs.frozen
class Syncing:
    """The payload is not judged: the client does not have its parent, or has lost the state after it."""


Verdict = Valid | Invalid | Syncing
