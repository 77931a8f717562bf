"""The parameters of traces, decoded from JSON: the tracer, its options, and its time."""

import re
from typing import Any

import attrs

from alysd.api.hex_values import boolean, kind, text, uint64
from alysd.embedded.engine.overrides import AccountOverride, BlockOverride
from alysd.embedded.engine.tracing.call_tracer import CallTracer
from alysd.embedded.engine.tracing.prestate_tracer import PrestateOptions, PrestateTracer
from alysd.embedded.engine.tracing.struct_logger import LoggerOptions, StructLogger
from alysd.embedded.engine.tracing.traces import NewTracer
from alysd.embedded.rpc.override_requests import block_override, state_overrides
from alysd.embedded.rpc.requests import field_of, object_of
from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress

_TRACERS = ("callTracer", "prestateTracer")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)")


@attrs.frozen
class TraceRequest:
    """The tracer of a request: `new` makes it. `seconds` is the time that the caller allows, or None."""

    new: NewTracer
    seconds: float | None = None


@attrs.frozen
class CallTraceRequest:
    """The tracer of a call, and the changes of the state and the block before the call.

    The call is made before the transaction `index` of the block, or after the block if that is None.
    """

    trace: TraceRequest
    accounts: dict[EvmAddress, AccountOverride]
    block: BlockOverride
    index: int | None


def trace_request(value: Any) -> TraceRequest:
    """Decode the options of a trace: those of geth's `TraceConfig`."""
    found = object_of(value)
    options = field_of(found, "tracerConfig", object_of, dict[str, Any]())
    seconds = field_of(found, "timeout", _seconds, None)
    match field_of(found, "tracer", _tracer, None):
        case "callTracer":
            top, logs = _flag(options, "onlyTopCall"), _flag(options, "withLog")
            return TraceRequest(lambda room: CallTracer(room, only_top=top, logs=logs), seconds)
        case "prestateTracer":
            prestate = _prestate_options(options)
            return TraceRequest(lambda room: PrestateTracer(room, prestate), seconds)
        case _:
            logger = _logger_options(found)
            return TraceRequest(lambda room: StructLogger(room, logger), seconds)


def call_trace_request(value: Any) -> CallTraceRequest:
    """Decode the options of a call's trace: those of geth's `TraceCallConfig`."""
    found = object_of(value)
    return CallTraceRequest(
        trace=trace_request(found),
        accounts=field_of(found, "stateOverrides", state_overrides, dict[EvmAddress, AccountOverride]()),
        block=field_of(found, "blockOverrides", block_override, BlockOverride()),
        index=field_of(found, "txIndex", uint64, None),
    )


def _tracer(value: Any) -> str | None:
    name = text(value)
    if name and name not in _TRACERS:
        raise Malformed(f"{name[:40]!r} is not supported here: name {' or '.join(_TRACERS)}, or no tracer")
    return name or None


def _prestate_options(options: dict[str, Any]) -> PrestateOptions:
    diff, empty = _flag(options, "diffMode"), _flag(options, "includeEmpty")
    if diff and empty:
        raise Malformed("tracerConfig: cannot use diffMode with includeEmpty")
    code, storage = not _flag(options, "disableCode"), not _flag(options, "disableStorage")
    return PrestateOptions(diff, code, storage, empty)


def _logger_options(found: dict[str, Any]) -> LoggerOptions:
    return LoggerOptions(
        memory=_flag(found, "enableMemory"),
        stack=not _flag(found, "disableStack"),
        storage=not _flag(found, "disableStorage"),
        return_data=_flag(found, "enableReturnData"),
        limit=field_of(found, "limit", _limit, 0),
    )


def _flag(found: dict[str, Any], name: str) -> bool:
    return field_of(found, name, boolean, default=False)


def _limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(f"must be a whole number of bytes, got {kind(value)}")
    return value


def _seconds(value: Any) -> float:
    """Decode a duration in Go's form, such as `500ms` or `1m30s`."""
    written = text(value)
    parts = _DURATION.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        raise Malformed(f"must be a duration such as 500ms or 10s, got {written[:40]!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


STRUCT_LOGGER = trace_request({})
"""The trace without options."""
