"""The computations with which the rules check an update of the federation."""

from alysd.consensus.federation_update import UpdateChecks
from alysd.ports import Bls
from alysd.wire.federation_update import update_message


def update_checks(bls: Bls) -> UpdateChecks:
    """The checks of updates with the signature scheme `bls`."""
    return UpdateChecks(update_message, bls.possession_is_proved)
