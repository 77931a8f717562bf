"""Steps of the wall clock, and the conditions under which the clock is trusted again."""

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
    assert machine.trust.steady_for == STEADY_SECONDS
    assert machine.set(-seconds).trust.step == 0, "it is set right"
    assert machine.trust.open_step is None


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


YEAR = 365 * 86_400.0
DAY = 86_400.0


def test_a_clock_months_ahead_is_trusted_only_when_a_person_accepts_it() -> None:
    """Ten minutes of a wrong year would stop the chain for a year."""
    machine = Machine().passes(100).set(YEAR).passes(3 * STEADY_SECONDS, every=10)
    assert machine.trust.implausible
    assert machine.trust.steady_for is None
    machine.trust = machine.trust.accept()
    assert machine.passes(10).trust.step == 0


def test_a_clock_months_behind_is_trusted_when_it_has_been_steady() -> None:
    """Blocks made with this clock do no harm, because the chain is ahead of them and refuses them."""
    assert Machine().passes(100).set(-YEAR).passes(STEADY_SECONDS + 1).trust.step == 0


@pytest.mark.parametrize("seconds", [-YEAR, 0, 7 * DAY, 30 * DAY])
def test_a_plausible_time_since_the_newest_block_is_trusted_at_start(seconds: float) -> None:
    assert ClockTrust.at_start(WALL, BOOT, SLOT, newest=WALL - seconds).step == 0


def test_an_implausible_time_since_the_newest_block_is_not_until_it_is_accepted() -> None:
    machine = Machine()
    machine.trust = ClockTrust.at_start(WALL, BOOT, SLOT, newest=WALL - YEAR)
    assert machine.trust.step == YEAR
    assert machine.passes(3 * STEADY_SECONDS, every=10).trust.step == pytest.approx(YEAR)
    assert machine.trust.open_step is None, "the next start compares with the chain again"
    machine.trust = machine.trust.accept()
    assert machine.passes(10).trust.step == 0
    assert machine.set(60).trust.open_step is not None


@pytest.mark.parametrize("back", [YEAR - 30 * DAY, YEAR - 10, YEAR, YEAR + DAY])
def test_a_clock_that_is_set_back_to_a_plausible_time_is_trusted_at_once(back: float) -> None:
    machine = Machine()
    machine.trust = ClockTrust.at_start(WALL, BOOT, SLOT, newest=WALL - YEAR)
    assert machine.passes(20).set(-back).trust.step == 0
    assert machine.set(3600).trust.step == pytest.approx(3600), "from now on, steps are noticed"


@pytest.mark.parametrize("newest", [None, WALL - YEAR])
def test_an_open_step_is_open_after_a_restart(newest: float | None) -> None:
    machine = Machine().passes(100).set(3600)
    believed = machine.trust.open_step
    assert believed is not None
    machine.trust = ClockTrust.at_start(machine.wall, machine.boot, SLOT, believed=believed, newest=newest)
    assert machine.trust.step == pytest.approx(3600)
    assert machine.passes(STEADY_SECONDS - 1).trust.step == pytest.approx(3600)
    assert machine.set(-3600).trust.step == 0
    assert machine.trust.open_step is None


def test_a_clock_that_was_set_right_while_the_node_was_stopped_is_trusted() -> None:
    """This holds long after the newest block too: the clock was trusted, and has run since."""
    assert ClockTrust.at_start(WALL, BOOT, SLOT, believed=WALL - BOOT + 1, newest=WALL - YEAR).step == 0
