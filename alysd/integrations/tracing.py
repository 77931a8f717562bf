"""Opens the tracing that a configuration selects: none, or OpenTelemetry, which is an optional extra."""

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from alysd.config.operation_sections import TracingConfig
from alysd.errors import ConfigError
from alysd.nurseries import Unrecorded
from alysd.ports import Tracing


class NoTracing(Unrecorded):
    """Implements `alysd.ports.Tracing` for a node without traces."""

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context manager that does nothing."""
        return nullcontext()

    async def aclose(self) -> None:
        """Do nothing: no spans are buffered."""


def check_installed(config: TracingConfig) -> None:
    """Raise `ConfigError` if the configuration enables traces and their extra is not installed."""
    if config.endpoint is None and not config.console:
        return
    try:
        import_module("alysd.integrations.open_telemetry")
    except ModuleNotFoundError:
        key = "tracing.console" if config.endpoint is None else "tracing.endpoint"
        raise ConfigError(f"{key} needs OpenTelemetry: install alysd with the extra alysd[traces]") from None


def open_tracing(config: TracingConfig) -> Tracing:
    """Open the tracing that the configuration selects. Raises `ConfigError` if its extra is not installed."""
    if config.endpoint is None and not config.console:
        return NoTracing()
    check_installed(config)
    # Imported only if enabled: it is an optional extra, and its import takes a large fraction of a second.
    from alysd.integrations.open_telemetry import OpenTelemetryTracing

    return OpenTelemetryTracing.exporting(config)
