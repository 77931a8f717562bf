"""The limit of open files is raised as far as the operator allows."""

import resource

import pytest

from alysd.api.http.limits import LIMITS
from alysd.integrations.open_files import ENOUGH, raise_limit

ANY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (1_024, 4_096, 4_096),
        (1_024, ANY, ENOUGH),
        (1_024, ENOUGH + 1, ENOUGH),
        (1_024, 1_024, 1_024),
        (ENOUGH + 1, ANY, ENOUGH + 1),
        (ANY, ANY, ANY),
    ],
)
def test_the_soft_limit_rises_to_the_hard_one(
    soft: int, hard: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients of three full ports would use up a shell's 1,024 files: the database could not be opened."""
    limits = {resource.RLIMIT_NOFILE: (soft, hard)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    raise_limit()
    assert limits == {resource.RLIMIT_NOFILE: (after, hard)}


def test_the_limit_is_enough_for_three_full_ports() -> None:
    assert 2 * 3 * (LIMITS.rpc + LIMITS.operator + LIMITS.waiting) < ENOUGH
