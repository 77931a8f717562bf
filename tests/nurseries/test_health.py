"""The states of health, as status pages and alert rules spell them."""

from alysd.nurseries import Health


def test_the_words_do_not_change() -> None:
    """Dashboards and alerts outside of the program match on them."""
    assert [health.value for health in Health] == [
        "Healthy",
        "Degraded",
        "Unhealthy",
        "Unknown",
        "Recovering",
        "ShuttingDown",
    ]
