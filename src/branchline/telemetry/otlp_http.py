"""Spans sent by OTLP over HTTP, with the OpenTelemetry SDK's own exporter, which is imported only here.

The SDK tries a dead endpoint again and again, may wait far beyond its time limits and logs to stderr. A person waits
here: so it runs in a thread that dies with the process, under one overall limit, and its first complaint is the end.
"""

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from branchline._version import __version__
from branchline.telemetry.errors import TelemetryError
from branchline.views.spans import Span, finished

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

BATCH = 500
TRACES_PATH = "/v1/traces"
CONNECT_SECONDS = 1.0
LOGGER = "opentelemetry"


def send(spans: Sequence[Span], endpoint: str, *, timeout: float = 5.0) -> int:
    """Send the spans; open ones end at the last moment known. Returns their number, after at most `timeout` seconds.

    `endpoint` is a collector's URL, such as http://localhost:4318, with or without the path. Raises TelemetryError.
    """
    url = traces_url(endpoint)
    complaints = _Complaints()
    # For good, because the thread may outlive the call.
    logger = logging.getLogger(LOGGER)
    logger.handlers, logger.propagate = [complaints], False
    exporter = _exporter(url, 2 * timeout)  # longer than ours: which of the two ends it must not be chance
    readable = list(_readable(finished(spans)))
    sending = _Sending(exporter, readable, complaints)
    sending.start()
    sending.join(timeout)
    if sending.is_alive():
        raise _failed(url, f"it did not answer within {timeout:g} s")
    if sending.problem:
        raise _failed(url, _unreachable(url) or sending.problem)
    return len(readable)


def traces_url(endpoint: str) -> str:
    """The URL that spans are posted to. Raises TelemetryError unless it is HTTP."""
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise TelemetryError(f"{endpoint!r} is not an HTTP URL", hint="for example: --otlp http://localhost:4318")
    return urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else TRACES_PATH))


def _failed(url: str, problem: str) -> TelemetryError:
    return TelemetryError(
        f"cannot send the trace to {url}: {problem}", hint="start a collector there, or write the trace with --file"
    )


def _unreachable(url: str) -> str:
    """The operating system's words for why nobody answers there, where it has any; the SDK's are unreadable."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return (error.strerror or "nothing answers there").lower()
    return ""


class _Complaints(logging.Handler):
    """Keeps the first thing that the SDK complains of during an export, and has it give up then."""

    first = ""
    exporter: "SpanExporter | None" = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.exporter and not self.first:
            self.first = " ".join(record.getMessage().split())
            self.exporter.shutdown()


class _Sending(threading.Thread):
    """One export; `problem` says what went wrong once it has ended."""

    def __init__(self, exporter: "SpanExporter", spans: Sequence["ReadableSpan"], complaints: _Complaints) -> None:
        super().__init__(daemon=True, name="otlp")
        self.exporter, self.spans, self.complaints = exporter, spans, complaints
        self.problem = "it was not accepted"

    def run(self) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.complaints.exporter = self.exporter
        for start in range(0, len(self.spans), BATCH):
            if self.exporter.export(self.spans[start : start + BATCH]) is not SpanExportResult.SUCCESS:
                self.problem = self.complaints.first or self.problem
                return
        self.problem = ""


def _exporter(url: str, timeout: float) -> "SpanExporter":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=url, timeout=timeout)
    except ImportError as error:
        raise TelemetryError(
            f"sending a trace needs OpenTelemetry, which is not installed ({error.name} is missing)",
            hint="pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
        ) from error


def _readable(spans: Sequence[Span]) -> Iterator["ReadableSpan"]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Status, StatusCode

    resource = Resource({"service.name": "branchline"})
    scope = InstrumentationScope("branchline", __version__)
    for span in spans:
        yield ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
            resource=resource,
            attributes=span.attributes,
            events=[Event(event.name, event.attributes, event.at_ns) for event in span.events],
            status=Status(StatusCode[span.status.upper()], span.message or None),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=scope,
        )


def _context(trace_id: str, span_id: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
