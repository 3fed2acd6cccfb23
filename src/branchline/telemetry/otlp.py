"""Spans as OTLP: as JSON in a file, or sent over HTTP by the OpenTelemetry SDK's own exporter, which only `send` imports.

The exporter reads the `OTEL_*` variables: endpoint, headers, certificates, compression, time limit, resource attributes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from branchline._version import __version__
from branchline.core.rules.linear import compiled
from branchline.errors import BranchlineError
from branchline.views.spans import Span, Value, finished

BATCH = 500
ERRNO = compiled(r"\[Errno -?\d+\] ([\w ]+)")
STATUS_CODES = {"unset": 0, "ok": 1, "error": 2}
KINDS: dict[type, str] = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}


def write(spans: Sequence[Span], path: Path) -> None:
    """Write the spans to a file; open ones end at the last moment known. Raises BranchlineError."""
    resource = {"attributes": _attributes({"service.name": "branchline"})}
    scope = {
        "scope": {"name": "branchline", "version": __version__},
        "spans": [_as_json(one) for one in finished(spans)],
    }
    document = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BranchlineError(f"cannot write {path}: {error.strerror}", hint="choose another --file") from error


def send(spans: Sequence[Span], endpoint: str = "") -> None:
    """Send the spans; open ones end at the last moment known. Raises BranchlineError.

    `endpoint`: a collector's URL, such as http://localhost:4318, with or without the path; empty: that of the environment.
    """
    url = traces_url(endpoint) if endpoint else None
    complaints, logger = _Complaints(), logging.getLogger("opentelemetry")
    logger.handlers, logger.propagate = [complaints], False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as error:
        raise BranchlineError(
            f"sending a trace needs OpenTelemetry, which is not installed ({error.name} is missing)",
            hint="pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
        ) from error
    exporter = complaints.exporter = OTLPSpanExporter(endpoint=url)
    resource = Resource({"service.name": "branchline"}).merge(OTELResourceDetector().detect())
    readable = [_readable(span, resource) for span in finished(spans)]
    for start in range(0, len(readable), BATCH):
        if exporter.export(readable[start : start + BATCH]) is not SpanExportResult.SUCCESS:
            raise BranchlineError(
                f"cannot send the trace to {url or 'the collector'}: {complaints.first or 'it was not accepted'}",
                hint="start a collector there, or write the trace with --file",
            )


def traces_url(endpoint: str) -> str:
    """The URL that spans are posted to. Raises BranchlineError unless it is HTTP."""
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise BranchlineError(f"{endpoint!r} is not an HTTP URL", hint="for example: --otlp http://localhost:4318")
    return urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else "/v1/traces"))


class _Complaints(logging.Handler):
    """Keeps the first thing that the SDK complains of during an export, and has it give up then: a person waits."""

    first = ""
    exporter: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.exporter is not None and not self.first:
            message = " ".join(record.getMessage().split())
            system = ERRNO.search(message)
            self.first = system[1].strip().lower() if system else message
            self.exporter.shutdown()


def _readable(span: Span, resource: Any) -> Any:
    """The span as the SDK's own."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    own, parent = (
        SpanContext(int(span.trace_id, 16), int(one, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        if one
        else None
        for one in (span.span_id, span.parent_id)
    )
    return ReadableSpan(
        name=span.name,
        context=own,
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        events=[Event(event.name, event.attributes, event.at_ns) for event in span.events],
        status=Status(StatusCode[span.status.upper()], span.message or None),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope("branchline", __version__),
    )


def _as_json(span: Span) -> dict[str, Any]:
    """The span in the protobuf JSON mapping of OTLP: ids in hexadecimal, 64-bit numbers as strings."""
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": 1,  # internal
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
        "events": [
            {"timeUnixNano": str(event.at_ns), "name": event.name, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "status": {"code": STATUS_CODES[span.status], **({"message": span.message} if span.message else {})},
    }


def _attributes(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {KINDS[type(value)]: str(value) if type(value) is int else value}}
        for key, value in attributes.items()
    ]
