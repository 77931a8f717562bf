"""The tracing that a configuration selects, and the error when its extra is not installed."""

import sys
from typing import Any

import pytest

from alysd.config.addresses import HttpUrl
from alysd.config.operation_sections import TracingConfig
from alysd.errors import ConfigError
from alysd.integrations.open_telemetry import OpenTelemetryTracing
from alysd.integrations.tracing import NoTracing, open_tracing
from alysd.nurseries import TraceContext, current_trace
from alysd.nurseries.trace import traces

ENDPOINT = HttpUrl("http://127.0.0.1:1/v1/traces")


async def test_without_being_asked_nothing_is_traced() -> None:
    tracing = open_tracing(TracingConfig())
    assert isinstance(tracing, NoTracing)
    with tracing.span("slot", slot=1):
        assert current_trace() is None
        assert traces.open == 0
    context = TraceContext("a" * 32, "b" * 16)
    with tracing.handling("chain", "GetForkchoice", context) as inner:
        assert inner is context
    await tracing.aclose()


@pytest.mark.parametrize("config", [TracingConfig(endpoint=ENDPOINT), TracingConfig(console=True)])
async def test_asked_for_spans_are_made(config: TracingConfig, capsys: pytest.CaptureFixture[str]) -> None:
    tracing = open_tracing(config)
    assert isinstance(tracing, OpenTelemetryTracing)
    await tracing.aclose()


@pytest.mark.parametrize(
    ("config", "key"),
    [(TracingConfig(endpoint=ENDPOINT), "tracing.endpoint"), (TracingConfig(console=True), "tracing.console")],
)
def test_without_the_extra_the_configuration_is_told_which_to_install(
    config: TracingConfig, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = None  # which the import system takes for a module that is not there
    monkeypatch.delitem(sys.modules, "alysd.integrations.open_telemetry")
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, nothing)
    with pytest.raises(ConfigError, match=rf"{key} needs OpenTelemetry: .* the extra alysd\[traces\]"):
        open_tracing(config)
