"""The Prometheus alerts that are shipped; tests/actors/test_node_metrics.py checks that their metrics exist."""

import re

from alysd.testing.config_files import CONF

ALERTS = (CONF / "prometheus" / "alysd.rules.yml").read_text().split("- alert: ")[1:]


def test_every_alert_says_when_and_what() -> None:
    """Prometheus would refuse the file, or the operator would be woken without a reason."""
    head = r"Alys[A-Za-z]+\n        expr: \S.*\n(        for: \d+[sm]\n)?"
    shape = head + r'        annotations:\n          summary: ".+"\n'
    assert len(ALERTS) > 8
    assert not [alert for alert in ALERTS if not re.match(shape, alert)]
