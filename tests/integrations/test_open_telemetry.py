"""The spans in the trace of a slot, and a collector that does not answer, which must delay nothing."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import trio
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from trio.testing import MockClock

from alysd.config.addresses import HttpUrl
from alysd.config.operation_sections import TracingConfig
from alysd.integrations.open_telemetry import CLOSE_SECONDS, OpenTelemetryTracing, ReportingExporter
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import TracesLost, TracesResumed
from alysd.nurseries import TraceContext, current_trace, traced
from alysd.nurseries.trace import traces
from alysd.testing.chain import chain_spec
from alysd.testing.node import open_simulated_node


def recording() -> tuple[OpenTelemetryTracing, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetryTracing(provider), exporter


def parents(spans: Sequence[ReadableSpan]) -> dict[str, str | None]:
    """The name of each span with the name of its parent."""
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    return {span.name: names[span.parent.span_id] if span.parent else None for span in spans}


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


async def test_one_slot_is_one_trace_over_engine_chain_and_storage(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    tracing, exporter = recording()
    async with open_simulated_node(tmp_path, chain_spec(), tracing=tracing) as node:
        await node.slots(3.5)
        assert len(node.produced) == 3
        slots = [event.signed.block.slot for event in node.produced]
    spans = exporter.get_finished_spans()
    roots = [span for span in spans if span.parent is None]
    assert [(span.name, span.attributes) for span in roots] == [("slot", {"slot": slot}) for slot in slots]
    found = parents([span for span in spans if trace_of(span) == trace_of(roots[1])])
    assert (
        found
        == {
            "slot": None,
            "prepare": "slot",
            "chain GetForkchoice": "prepare",
            "auxpow WorkFor": "prepare",
            "build": "slot",
            "engine BuildPayload": "build",
            "sign": "slot",
            "import": "slot",
            "block import ImportBlock": "import",
        }
        | found
    )
    assert found["chain AdoptBlock"] == found["engine ExecutePayload"] == "block import ImportBlock"
    assert found["storage CommitBlocks"] == "chain AdoptBlock"
    assert traces.open == 0


def test_a_span_continues_the_trace_that_is_open_and_an_error_is_told_in_it() -> None:
    tracing, exporter = recording()
    outer = TraceContext("a" * 32, "b" * 16)
    seen: list[TraceContext | None] = []

    def work() -> None:
        seen.append(current_trace())
        raise ValueError("no work")

    with pytest.raises(ValueError, match="no work"), traced(outer), tracing.span("step", slot=5):
        work()
    (inner,) = seen
    assert inner is not None
    assert inner.trace_id == outer.trace_id
    assert inner.span_id != outer.span_id
    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == outer.span_id
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError: no work"


def test_what_the_sender_does_not_sample_is_not_recorded() -> None:
    tracing, exporter = recording()
    with tracing.handling("chain", "GetForkchoice", TraceContext("a" * 32, "b" * 16, sampled=False)) as context:
        assert not context.sampled
        assert context.trace_id == "a" * 32
    assert exporter.get_finished_spans() == ()


def test_a_provider_that_samples_nothing_says_so_to_the_handlers() -> None:
    tracing = OpenTelemetryTracing(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    with tracing.span("slot"):
        context = current_trace()
        assert context is not None
        assert not context.sampled


class Dead(SpanExporter):
    """A collector that never answers."""

    def __init__(self) -> None:
        self.released = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.released.wait(timeout=60)
        return SpanExportResult.FAILURE


async def test_closing_does_not_wait_for_a_collector_that_never_answers(autojump_clock: MockClock) -> None:
    exporter, provider = Dead(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracing = OpenTelemetryTracing(provider)
    with tracing.span("slot"):
        pass
    try:
        await tracing.aclose()
        assert trio.current_time() <= CLOSE_SECONDS + 0.1
    finally:
        exporter.released.set()


@contextmanager
def collector(bodies: list[bytes]) -> Generator[str]:
    """The address of an HTTP server that keeps what is posted to it."""

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that it has there
            """Nothing: what it says is of no interest."""

    with HTTPServer(("127.0.0.1", 0), Keep) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        finally:
            server.shutdown()
            thread.join()


async def test_spans_reach_a_collector_and_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    bodies: list[bytes] = []
    with collector(bodies) as endpoint:
        tracing = OpenTelemetryTracing.exporting(TracingConfig(HttpUrl(endpoint), console=True))
        with (
            tracing.span("slot", slot=7),
            tracing.handling("chain", "GetForkchoice", TraceContext("a" * 32, "b" * 16)),
        ):
            pass
        await tracing.aclose()
    sent = b"".join(bodies)
    assert b"slot" in sent
    assert b"chain GetForkchoice" in sent
    assert b"alysd" in sent
    assert '"name": "chain GetForkchoice"' in capsys.readouterr().err


class Moody(SpanExporter):
    """A collector that takes a batch or not, as it is told."""

    def __init__(self) -> None:
        self.takes = True
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.closed = True

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return timeout_millis > 0


def test_a_collector_that_is_away_is_logged_once_and_once_when_it_is_back(logged: list[LogEvent]) -> None:
    moody, url = Moody(), "http://127.0.0.1:4318/v1/traces"
    exporter = ReportingExporter(moody, url)
    batch = [ReadableSpan("slot"), ReadableSpan("build")]
    for takes in (True, False, False, True, True):
        moody.takes = takes
        assert (exporter.export(batch) is SpanExportResult.SUCCESS) is takes
    assert logged == [TracesLost(url), TracesResumed(4)]
    assert exporter.force_flush()
    assert not exporter.force_flush(0)
    exporter.shutdown()
    assert moody.closed
