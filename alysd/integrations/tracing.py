"""Which tracing a configuration asks for: none, which costs nothing, or OpenTelemetry, which is an extra."""

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from alysd.config.model import TracingConfig
from alysd.errors import ConfigError
from alysd.nurseries import Unrecorded
from alysd.ports import Tracing


class NoTracing(Unrecorded):
    """Implements `alysd.ports.Tracing` for a node that opens no traces."""

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[None]:  # noqa: ARG002
        """No span."""
        return nullcontext()

    async def aclose(self) -> None:
        """Nothing is left to send."""


def check_installed(config: TracingConfig) -> None:
    """Raise `ConfigError` when the configuration asks for traces and their extra is not installed."""
    if config.endpoint is None and not config.console:
        return
    try:
        import_module("alysd.integrations.open_telemetry")
    except ModuleNotFoundError:
        key = "tracing.console" if config.endpoint is None else "tracing.endpoint"
        raise ConfigError(f"{key} needs OpenTelemetry: install alysd with the extra alysd[traces]") from None


def open_tracing(config: TracingConfig) -> Tracing:
    """The tracing that the configuration asks for. Raises `ConfigError` when its extra is not installed."""
    if config.endpoint is None and not config.console:
        return NoTracing()
    check_installed(config)
    # Imported where it is asked for: it is an extra, and takes a good part of a second.
    from alysd.integrations.open_telemetry import OpenTelemetryTracing

    return OpenTelemetryTracing.exporting(config)
