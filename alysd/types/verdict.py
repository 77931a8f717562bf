"""An execution client's judgement of a payload."""

import attrs


@attrs.frozen
class Verdict:
    """`status` is VALID, INVALID, SYNCING or ACCEPTED (Engine API, "Payload validation"); `reason` if INVALID."""

    status: str
    reason: str | None = None
