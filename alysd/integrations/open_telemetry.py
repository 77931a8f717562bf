"""Traces with OpenTelemetry: a span for each message that is handled in a trace, and for each `span` block.

This module is imported only if the configuration enables traces, because it needs the extra `traces`. A thread of
the SDK collects and sends finished spans. If the collector is slow or down, spans are lost, but no slot is
delayed.
"""

import logging
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import trio
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from alysd import __version__
from alysd.config.operation_sections import TracingConfig
from alysd.messages.log.base import log
from alysd.messages.log.process import TracesLost, TracesResumed
from alysd.nurseries import TraceContext, current_trace, traced

EXPORT_SECONDS = 2.0
"""Deadline of sending one batch of spans: more than a network needs, but less than a stop of the node may take."""

CLOSE_SECONDS = 3.0
"""Deadline of sending the last batch when the node stops."""


class OpenTelemetryTracing:
    """Implements `alysd.ports.Tracing`. The provider determines where the spans are sent."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("alysd", __version__)

    @classmethod
    def exporting(cls, config: TracingConfig) -> "OpenTelemetryTracing":
        """Make a tracing that exports to the collector's endpoint, to standard error, or to both."""
        resource = Resource.create({SERVICE_NAME: "alysd", SERVICE_VERSION: __version__})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if config.endpoint is not None:
            # The exporter would log every lost batch twice.
            logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
            exporter = OTLPSpanExporter(endpoint=config.endpoint.text, timeout=EXPORT_SECONDS)
            provider.add_span_processor(BatchSpanProcessor(ReportingExporter(exporter, str(config.endpoint))))
        if config.console:
            provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
        return cls(provider)

    @contextmanager
    def span(self, name: str, **attributes: int | str) -> Generator[None]:
        """Record the `with` block as a span. If no trace is open, the span begins a new trace."""
        with self._recorded(name, current_trace(), attributes) as context, traced(context):
            yield

    @contextmanager
    def handling(self, actor: str, message: str, sender: TraceContext) -> Generator[TraceContext]:
        """Record the handling of a message by `actor` as a child of the span in which it was sent."""
        attributes = {"alysd.actor": actor, "alysd.message": message}
        with self._recorded(f"{actor} {message}", sender, attributes) as context:
            yield context

    async def aclose(self) -> None:
        """Send the remaining spans. The time is bounded, and the call is safe in a cancelled scope."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            # The thread is abandoned if it takes too long. It is a daemon thread, and only spans are lost.
            await trio.to_thread.run_sync(self._provider.shutdown, abandon_on_cancel=True)

    @contextmanager
    def _recorded(
        self, name: str, parent: TraceContext | None, attributes: Mapping[str, int | str]
    ) -> Generator[TraceContext]:
        """Record the `with` block as a span. If an error leaves the block, record it too."""
        with self._tracer.start_as_current_span(name, _below(parent), attributes=attributes) as span:
            made = span.get_span_context()
            yield TraceContext(
                format_trace_id(made.trace_id), format_span_id(made.span_id), made.trace_flags.sampled
            )


class ReportingExporter(SpanExporter):
    """Exports to a collector. Logs once when the collector fails and once when it works again.

    Runs in the SDK's thread.
    """

    def __init__(self, inner: SpanExporter, endpoint: str) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch with the inner exporter."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log(TracesLost(self._endpoint))
            self._lost += len(spans)
        elif self._lost:
            log(TracesResumed(self._lost))
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Wait until all spans are exported. Returns whether they are."""
        return self._inner.force_flush(timeout_millis)


def _below(parent: TraceContext | None) -> Context:
    """The context for a new span below `parent`. If `parent` is None, the span begins a trace."""
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    context = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=False, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())
