import importlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from branchline.errors import BranchlineError
from branchline.telemetry.otlp import BATCH, send, traces_url, write
from branchline.views.spans import Span, SpanEvent

SPAN = """
import sys
from branchline.views.spans import Span
span = Span(trace_id="a" * 32, span_id="b" * 16, parent_id=None, name="run", start_ns=1, end_ns=2, attributes={},
            status="ok")
"""
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


def span(number: int, parent: int | None = None) -> Span:
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_id=None if parent is None else f"{parent:016x}",
        name=f"span {number}",
        start_ns=1_795_000_000_000_000_000,
        end_ns=1_795_000_000_000_000_000 + number,
        attributes={"task.id": "t", "branchline.attempt": number, "flag": True},
        status="error" if number % 2 else "ok",
        message="boom" if number % 2 else "",
        events=[SpanEvent("codegate", 1_795_000_000_000_000_000, {"task.id": "t"})],
    )


class Collector(ThreadingHTTPServer):
    """Takes OTLP in on the loopback interface, or answers with `status`."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Intake)
        self.status = status
        self.paths: list[str] = []
        self.headers: list[str | None] = []
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Intake(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        self.server.headers.append(self.headers["x-team"])
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def collector(status: int = 200) -> Iterator[Collector]:
    with Collector(status) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_collector_gets_the_spans_as_they_are() -> None:
    with collector() as server:
        send((span(2), span(3, parent=2)), server.url)
    assert server.paths == ["/v1/traces"]
    (resource,) = server.requests[0].resource_spans
    assert resource.resource.attributes[0].value.string_value == "branchline"
    (scope,) = resource.scope_spans
    assert scope.scope.name == "branchline"
    parent, child = scope.spans
    assert (parent.trace_id.hex(), parent.span_id.hex(), parent.parent_span_id) == (TRACE, f"{2:016x}", b"")
    assert child.parent_span_id == parent.span_id
    assert (child.name, child.end_time_unix_nano - child.start_time_unix_nano) == ("span 3", 3)
    assert {one.key: one.value.WhichOneof("value") for one in child.attributes} == {
        "task.id": "string_value",
        "branchline.attempt": "int_value",
        "flag": "bool_value",
    }
    assert (parent.status.code, child.status.code, child.status.message) == (1, 2, "boom")
    assert child.events[0].name == "codegate"


def test_many_spans_go_in_batches() -> None:
    with collector() as server:
        send([span(number) for number in range(1, BATCH + 2)], f"{server.url}/v1/traces")
    sizes = [len(request.resource_spans[0].scope_spans[0].spans) for request in server.requests]
    assert sizes == [BATCH, 1]


@pytest.mark.parametrize("status", [400, 503])
def test_a_collector_that_refuses_is_an_error_at_once(status: int, capfd: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    with collector(status) as server, pytest.raises(BranchlineError, match="cannot send the trace"):
        send((span(2),), server.url)
    assert time.monotonic() - begun < 3
    assert len(server.requests) == 1
    assert capfd.readouterr().err == ""


def test_a_dead_port_is_an_error_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(BranchlineError, match="connection refused") as caught:
        send((span(2),), f"http://127.0.0.1:{port}")
    assert time.monotonic() - begun < 2
    assert "--file" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_a_port_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        begun = time.monotonic()
        with pytest.raises(BranchlineError, match=r"cannot send the trace.*timeout"):
            send((span(2),), f"http://127.0.0.1:{hole.getsockname()[1]}")
        assert 0.9 < time.monotonic() - begun < 5


def test_the_environment_says_where_and_with_what_headers_and_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{server.url}/base")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=seven")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=ci,service.name=theirs")
        send((span(2),))
    assert (server.paths, server.headers) == (["/base/v1/traces"], ["seven"])
    attributes = server.requests[0].resource_spans[0].resource.attributes
    found = {one.key: one.value.string_value for one in attributes}
    assert found == {"service.name": "theirs", "deployment.environment": "ci"}


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://x", "http://[", "grpc://localhost:4317"])
def test_an_endpoint_must_be_http(endpoint: str) -> None:
    with pytest.raises(BranchlineError, match="is not an HTTP URL"):
        send((), endpoint)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://h:1", "http://h:1/v1/traces"),
        ("http://h:1/", "http://h:1/v1/traces"),
        ("https://h/api/otlp?key=1", "https://h/api/otlp?key=1"),
    ],
)
def test_the_path_is_added_where_there_is_none(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


def test_what_the_sdk_thinks_of_the_environment_stays_off_the_terminal() -> None:
    program = f"""
from branchline.telemetry.otlp import send
{SPAN}
send([span], sys.argv[1])
"""
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_COMPRESSION": "sponge", "OTEL_EXPORTER_OTLP_HEADERS": "nonsense"}
    with collector() as server:
        command = [sys.executable, "-c", program, server.url]
        done = subprocess.run(command, capture_output=True, check=True, timeout=30, env=environ)
    assert (len(server.requests), done.stderr) == (1, b"")


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from branchline.errors import BranchlineError
from branchline.telemetry.otlp import send
try:
    send([], "http://127.0.0.1:9")
except BranchlineError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=30)
    assert done.stdout == "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http\n"


def test_importing_the_module_imports_no_opentelemetry() -> None:
    program = "import sys, branchline.telemetry.otlp; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=30)
    assert done.stdout == "False\n"


@pytest.fixture(autouse=True)
def sdk_log() -> Iterator[None]:
    """Give the SDK's logger back as it was."""
    logger = logging.getLogger("opentelemetry")
    before = logger.handlers, logger.propagate
    yield
    logger.handlers, logger.propagate = before


def written(folder: Path) -> dict[str, Any]:
    write((ROOT, CHILD), folder / "trace.json")
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
