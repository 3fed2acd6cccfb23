import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from branchline.errors import BranchlineError
from branchline.telemetry.otlp_file import write
from branchline.views.spans import Span, SpanEvent

TRACE = "0af7651916cd43dd8448eb211c80319c"
ROOT = Span(
    trace_id=TRACE,
    span_id="b7ad6b7169203331",
    parent_id=None,
    name="run",
    start_ns=1_795_000_000_123_000_000,
    end_ns=None,
    attributes={"task.id": "é", "yes": True, "number": 2**53 + 1, "half": 0.5},
    status="unset",
    message="",
    events=[SpanEvent("ship_complete", 1_795_000_000_456_000_000, {"target": "main"})],
)
CHILD = Span(
    trace_id=TRACE,
    span_id="00f067aa0ba902b7",
    parent_id=ROOT.span_id,
    name="execute",
    start_ns=ROOT.start_ns,
    end_ns=ROOT.start_ns,
    attributes={},
    status="error",
    message="boom",
    events=[],
)


def written(folder: Path) -> dict[str, Any]:
    assert write((ROOT, CHILD), folder / "trace.json") == 2
    document: dict[str, Any] = json.loads((folder / "trace.json").read_text("utf-8"))
    return document


def test_ids_are_hexadecimal_and_large_numbers_strings(tmp_path: Path) -> None:
    root, child = written(tmp_path)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (root["traceId"], root["spanId"], "parentSpanId" in root) == (TRACE, ROOT.span_id, False)
    assert child["parentSpanId"] == ROOT.span_id
    assert root["startTimeUnixNano"] == "1795000000123000000"
    assert root["endTimeUnixNano"] == "1795000000456000000"  # open: ended at the last moment known
    assert root["attributes"] == [
        {"key": "task.id", "value": {"stringValue": "é"}},
        {"key": "yes", "value": {"boolValue": True}},
        {"key": "number", "value": {"intValue": "9007199254740993"}},
        {"key": "half", "value": {"doubleValue": 0.5}},
        {"key": "branchline.unfinished", "value": {"boolValue": True}},
    ]
    assert child["status"] == {"code": 2, "message": "boom"}
    assert root["status"] == {"code": 0}


def test_the_document_is_one_that_opentelemetry_reads(tmp_path: Path) -> None:
    json_format = importlib.import_module("google.protobuf.json_format")  # it has no types
    read = json_format.ParseDict(written(tmp_path), TracesData())  # refuses unknown members and wrong types
    (resource,) = read.resource_spans
    assert resource.resource.attributes[0].value.string_value == "branchline"
    (scope,) = resource.scope_spans
    assert [span.name for span in scope.spans] == ["run", "execute"]
    assert scope.spans[0].events[0].time_unix_nano == 1_795_000_000_456_000_000


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BranchlineError, match=r"cannot write .*No such file") as caught:
        write((ROOT,), tmp_path / "missing" / "trace.json")
    assert caught.value.hint
