"""Spans as OTLP JSON (the protobuf JSON mapping of OTLP: ids in hexadecimal, 64-bit numbers as strings)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from branchline._version import __version__
from branchline.errors import BranchlineError
from branchline.views.spans import Span, Value, finished

KIND_INTERNAL = 1
STATUS_CODES = {"unset": 0, "ok": 1, "error": 2}


def write(spans: Sequence[Span], path: Path) -> int:
    """Write the spans to a file; open ones end at the last moment known. Returns their number.

    Raises BranchlineError when the file cannot be written.
    """
    try:
        path.write_text(json.dumps(document(finished(spans)), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BranchlineError(f"cannot write {path}: {error.strerror}", hint="choose another --file") from error
    return len(spans)


def document(spans: Sequence[Span]) -> dict[str, Any]:
    """An `ExportTraceServiceRequest` of spans that have all ended."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "branchline"})},
                "scopeSpans": [
                    {"scope": {"name": "branchline", "version": __version__}, "spans": list(map(_span, spans))}
                ],
            }
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": KIND_INTERNAL,
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
    kinds: dict[type, str] = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in attributes.items()
    ]
