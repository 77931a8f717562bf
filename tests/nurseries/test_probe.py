"""A question for which nobody sleeps."""

from alysd.nurseries import Health
from alysd.nurseries.probe import Probe


def test_a_probe_holds_its_answer_or_the_reason_for_none() -> None:
    silent, answered, failed = Probe(), Probe(), Probe()
    answered.reply(Health.DEGRADED)
    error = OSError("gone")
    failed.fail(error)
    assert (silent.health, silent.error) == (None, None)
    assert (answered.health, answered.error) == (Health.DEGRADED, None)
    assert (failed.health, failed.error) == (None, error)
