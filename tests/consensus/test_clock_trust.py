"""What is a step of the wall clock, and when it is believed again."""

import pytest

from alysd.consensus.clock_trust import STEADY_SECONDS, ClockTrust

SLOT = 2.0
WALL, BOOT = 1_700_000_000.0, 5000.0


class Machine:
    """A machine with both clocks, and the node's trust in them."""

    def __init__(self) -> None:
        self.wall, self.boot = WALL, BOOT
        self.trust = ClockTrust.at_start(self.wall, self.boot, SLOT)

    def passes(self, seconds: float, *, every: float = 1.0, drift: float = 0.0) -> "Machine":
        """Let time pass, with looks, while the wall clock runs fast by `drift` seconds per second."""
        for _ in range(round(seconds / every)):
            self.wall, self.boot = self.wall + every * (1 + drift), self.boot + every
            self.look()
        return self

    def set(self, seconds: float) -> "Machine":
        """Set the wall clock forward and look."""
        self.wall += seconds
        return self.look()

    def look(self) -> "Machine":
        self.trust = self.trust.look(self.wall, self.boot)
        return self


def test_a_clock_that_runs_is_believed() -> None:
    assert Machine().passes(10_000).trust.step == 0
    assert Machine().passes(7 * 86_400, every=7 * 86_400).trust.step == 0, "also after a week of sleep"


def test_a_clock_that_drifts_as_ntp_corrects_it_is_believed() -> None:
    """The node would pause after an hour of a slow correction."""
    for drift in (0.0005, -0.0005):
        assert Machine().passes(20_000, every=10, drift=drift).trust.step == 0


@pytest.mark.parametrize("seconds", [2.5, 3600, -2.5, -3600])
def test_a_step_of_more_than_a_slot_is_noticed_at_once(seconds: float) -> None:
    machine = Machine().passes(100).set(seconds)
    assert machine.trust.step == pytest.approx(seconds)
    assert machine.trust.believed_in == STEADY_SECONDS
    assert machine.set(-seconds).trust.step == 0, "it is set right"
    assert machine.trust.believed_in == 0


@pytest.mark.parametrize("seconds", [1.9, -1.9])
def test_a_smaller_one_is_not(seconds: float) -> None:
    assert Machine().passes(100).set(seconds).trust.step == 0


def test_small_steps_add_up() -> None:
    """A clock that is pulled away little by little would never be noticed."""
    machine = Machine()
    for _ in range(3):
        machine.passes(5).set(1.0)
    assert machine.trust.step == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_new_time_is_believed_when_it_has_been_steady(seconds: float) -> None:
    machine = Machine().passes(100).set(seconds).passes(STEADY_SECONDS - 1)
    assert machine.trust.step == pytest.approx(seconds)
    assert machine.trust.believed_in == pytest.approx(1)
    assert machine.passes(2).trust.step == 0
    assert machine.set(-seconds).trust.step == pytest.approx(-seconds)


def test_a_clock_that_jumps_again_is_not_steady() -> None:
    machine = Machine().passes(100).set(3600).passes(STEADY_SECONDS - 10).set(100).passes(STEADY_SECONDS - 10)
    assert machine.trust.step == pytest.approx(3700)


def test_a_clock_that_runs_twice_as_fast_is_never_believed() -> None:
    assert Machine().passes(3 * STEADY_SECONDS, drift=1.0).trust.step > SLOT


def test_a_person_may_accept_it() -> None:
    machine = Machine().passes(100).set(3600)
    machine.trust = machine.trust.accept()
    assert machine.passes(10).trust.step == 0
