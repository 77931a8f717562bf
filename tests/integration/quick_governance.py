"""The governance host of a test that waits for heartbeats and new connections: the same code, with shorter waits.

The process of the host imports this module, and nothing of the tests besides.
"""

from alysd.actors import governance_host, governance_session
from alysd.actors.governance_host import GovernanceHostActor
from alysd.governance_process import start
from alysd.nurseries import ProcessContext

TENTH = {
    governance_session: ("HEARTBEAT_SECONDS", "RESEND_SECONDS"),
    governance_host: ("FIRST_PAUSE", "REPORT_SECONDS"),
}
"""The intervals that are a tenth of the usual ones. Deadlines stay as they are, for a busy machine."""


def quick_start(context: ProcessContext) -> GovernanceHostActor:
    """Make the actor, as `alysd.governance_process.start` does."""
    for module, names in TENTH.items():
        for name in names:
            setattr(module, name, getattr(module, name) / 10)
    return start(context)
