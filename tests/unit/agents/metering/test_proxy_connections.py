"""What passes between an agent, the proxy and a provider: bytes, headers, connections that break, TLS, other proxies."""

import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from branchline.agents.metering.proxy import LARGEST_REQUEST, Proxy
from branchline.errors import BranchlineError
from unit.agents.metering.provider import (
    KEY,
    PRICES,
    Provider,
    Say,
    Talk,
    ask,
    between,
    connect,
    everything,
    provider,
    transcript,
)


@pytest.mark.parametrize(
    ("prefix", "path", "target"),
    [("", "/v1/x?a=b", "/v1/x?a=b"), ("/v1/", "/x", "/v1/x"), ("/v1", "", "/v1"), ("", "", "/"), ("", "?a=b", "/?a=b"),
     ("/a%2Fb", "/c%20d//..?e=%26", "/a%2Fb/c%20d//..?e=%26")],
)  # fmt: skip
def test_the_path_is_appended_to_the_base_urls(tmp_path: Path, prefix: str, path: str, target: str) -> None:
    with provider(lambda talk: talk.json({})) as upstream, Proxy(upstream.url + prefix, tmp_path, PRICES) as proxy:
        ask(proxy.endpoint, path, headers={"Accept-Encoding": "gzip", "X-Mine": "1"})
        (seen,) = upstream.seen
    assert seen.path == target
    assert seen.headers == {
        "host": upstream.url.removeprefix("http://"), "accept-encoding": "identity", "x-mine": "1",
        "content-length": "0", "connection": "close",
    }  # fmt: skip


def test_an_answer_has_its_own_status_and_headers(tmp_path: Path) -> None:
    def moved(talk: Talk) -> None:
        talk.send_response(307, "Over There")
        for name, value in (("location", "/x"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-length", "3")):
            talk.send_header(name, value)
        talk.end_headers()
        talk.wfile.write(b"\x1f\x8b\xff")

    with between(moved, tmp_path) as (proxy, upstream):
        for _ in range(2):
            connection, prefix = connect(proxy.endpoint)
            connection.request("GET", f"{prefix}/v1/models")
            response = connection.getresponse()
            assert (response.status, response.reason, response.read()) == (307, "Over There", b"\x1f\x8b\xff")
            assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
            connection.close()
        assert ["cookie" in seen.headers for seen in upstream.seen] == [False, False]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_on_one_connection(tmp_path: Path, method: str) -> None:
    with between(lambda talk: talk.json({}), tmp_path) as (proxy, upstream):
        connection, prefix = connect(proxy.endpoint)
        for _ in range(3):
            connection.request(method, f"{prefix}/v1/models")
            response = connection.getresponse()
            assert (response.getheader("content-length"), response.read()) == ("2", b"" if method == "HEAD" else b"{}")
        connection.close()
        assert [seen.method for seen in upstream.seen] == [method] * 3


def raw(endpoint: str, request: bytes) -> bytes:
    host, _, prefix = endpoint.removeprefix("http://").partition("/")
    with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), timeout=5) as connection:
        connection.sendall(request.replace(b" /", f" /{prefix}/".encode(), 1))
        return b"".join(iter(lambda: connection.recv(1000), b""))


def test_a_request_in_chunks_and_an_agent_of_the_old_protocol(tmp_path: Path) -> None:
    body = b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nt: 1\r\n\r\n"
    with between(everything, tmp_path) as (proxy, upstream):
        head = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        assert raw(proxy.endpoint, head + body).startswith(b"HTTP/1.1 404 ")
        assert upstream.seen[0].body == b"abc0123456789"
        asked = b"POST /v1/messages HTTP/1.0\r\nContent-Length: 21\r\n\r\n" + b'{"model": "claude-x"}'
        answer = raw(proxy.endpoint, asked)
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b"chunked" not in answer
    assert answer.endswith(b'data: {"type": "message_stop"}\n\n')


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: many",
        b"Content-Length: -1",
        b"Content-Length: %d" % (LARGEST_REQUEST + 1),
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
)
def test_broken_and_too_large_requests_go_nowhere(tmp_path: Path, head: bytes) -> None:
    with between(everything, tmp_path) as (proxy, upstream):
        host, _, prefix = proxy.endpoint.removeprefix("http://").partition("/")
        with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), timeout=5) as connection:
            connection.sendall(f"POST /{prefix}/v1/messages HTTP/1.1\r\nhost: x\r\n".encode() + head + b"\r\n\r\n")
            assert connection.recv(100).split()[1] in {b"400", b"413"}
        assert upstream.seen == []


def cut_chunk(talk: Talk) -> None:
    talk.begin_events()
    talk.wfile.write(b"10\r\nhalf")
    talk.close_connection = True


def cut_length(talk: Talk) -> None:
    talk.head(200, content_length="100")
    talk.wfile.write(b"half")
    talk.close_connection = True


def cut_by_reset(talk: Talk) -> None:
    talk.begin_events()
    talk.chunk(b"half")
    time.sleep(0.1)
    talk.reset()


@pytest.mark.parametrize("say", [cut_chunk, cut_length, cut_by_reset])
def test_an_answer_that_breaks_off(tmp_path: Path, say: Say) -> None:
    with between(say, tmp_path) as (proxy, _):
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask(proxy.endpoint, "/v1/messages", {"model": "claude-x"})
        assert proxy.usage.cost_usd is None
    assert "broke off" in transcript(tmp_path)[0]["ended"]


def test_an_answer_that_falls_silent(tmp_path: Path) -> None:
    def stops(talk: Talk) -> None:
        talk.begin_events()
        talk.chunk(b"half")
        time.sleep(1)

    with between(stops, tmp_path, silence=0.1) as (proxy, _):  # noqa: SIM117 - the answer fails, not the proxy
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask(proxy.endpoint, "/v1/messages", {"model": "claude-x"})
    assert transcript(tmp_path)[0]["ended"] == "the provider's answer broke off: nothing came for 0.1 s"


def nonsense(talk: Talk) -> None:
    talk.wfile.write(b"nonsense\r\n\r\n")
    talk.close_connection = True


@pytest.mark.parametrize("say", [nonsense, Talk.reset])
def test_no_answer_at_all_is_told_without_the_key(tmp_path: Path, say: Say) -> None:
    with between(say, tmp_path) as (proxy, _):
        answer = ask(proxy.endpoint, f"/v1beta/models/gemini-x:generateContent?key={KEY}", {})
    assert answer.status == 502
    assert KEY not in answer.body.decode()
    assert KEY not in str(transcript(tmp_path))


def test_a_second_request_sent_already_is_no_farewell(tmp_path: Path) -> None:
    def late(talk: Talk) -> None:
        time.sleep(0.2)
        talk.json({})

    with between(late, tmp_path) as (proxy, _):
        host, _, prefix = proxy.endpoint.removeprefix("http://").partition("/")
        one = f"GET /{prefix}/v1/models HTTP/1.1\r\nhost: x\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), timeout=5) as connection:
            connection.sendall(one + one)
            got = b""
            while got.count(b"\r\n\r\n{}") < 2:
                got += connection.recv(1000)


def test_closing_breaks_off_what_is_under_way(tmp_path: Path) -> None:
    began = threading.Event()

    def endless(talk: Talk) -> None:
        talk.begin_events()
        while True:
            talk.chunk(b"x" * 100_000)
            began.set()

    with between(endless, tmp_path) as (proxy, upstream):
        host, _, prefix = proxy.endpoint.removeprefix("http://").partition("/")
        port = int(host.partition(":")[2])
        stuck = socket.create_connection(("127.0.0.1", port))
        stuck.sendall(
            f"POST /{prefix}/v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode()
        )  # and never reads
        assert began.wait(5)
        closing = time.monotonic()
    assert upstream.lost.wait(5)
    stuck.close()
    assert time.monotonic() - closing < 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert transcript(tmp_path)[0]["ended"] == "the agent closed its connection"


def test_a_fault_of_our_own_is_raised_at_the_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def full() -> Iterator[Proxy]:
        with provider(everything) as upstream, Proxy(upstream.url, tmp_path, PRICES) as proxy:
            proxy._transcript.close()
            proxy._transcript = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed with the proxy
            yield proxy

    with pytest.raises(BranchlineError, match="No space left"), contextmanager(full)() as proxy:
        ask(proxy.endpoint, "/v1/models", method="GET")
    assert capfd.readouterr().err == ""


def test_by_way_of_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(lambda talk: talk.json({})) as third:
        monkeypatch.setenv("http_proxy", third.url.replace("http://", "http://me:s%40x@"))
        with Proxy("http://model.invalid/v1", tmp_path, PRICES) as proxy:
            assert ask(proxy.endpoint, "/x", {}).status == 200
        seen = third.seen[0]
    assert (seen.path, seen.headers["host"]) == ("http://model.invalid/v1/x", "model.invalid")
    assert seen.headers["proxy-authorization"] == "Basic bWU6c0B4"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for localhost and 127.0.0.2 that our side trusts by SSL_CERT_FILE."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.2"]
    subprocess.run([openssl, *new, *name, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def secure(say: Say, context: ssl.SSLContext) -> Iterator[Provider]:
    with provider(say) as upstream:
        upstream.socket = context.wrap_socket(upstream.socket, server_side=True)
        yield upstream


def test_tls(tmp_path: Path, tls: ssl.SSLContext) -> None:
    body = b"b" * (2 << 20)
    with secure(lambda talk: talk.json({"got": len(talk.seen.body)}), tls) as upstream:
        url = upstream.url.replace("http://127.0.0.1", "https://localhost")
        with Proxy(url, tmp_path, PRICES) as proxy:
            assert ask(proxy.endpoint, "/x", body).json == {"got": 2 << 20}


def test_a_certificate_of_another_host_is_refused(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with secure(lambda talk: talk.json({}), tls) as upstream:
        with Proxy(upstream.url.replace("http://", "https://"), tmp_path, PRICES) as proxy:
            answer = ask(proxy.endpoint, "/x", {})
            assert (answer.status, "CERTIFICATE_VERIFY_FAILED" in answer.json["error"]["message"]) == (502, True)
        assert upstream.seen == []


def test_when_the_agent_goes_while_tls_waits(tmp_path: Path, tls: ssl.SSLContext) -> None:
    gone = threading.Event()

    def waits(talk: Talk) -> None:
        time.sleep(0.2)
        talk.connection.settimeout(5)
        assert talk.connection.recv(1) == b""
        gone.set()

    with secure(waits, tls) as upstream:
        url = upstream.url.replace("http://127.0.0.1", "https://localhost")
        with Proxy(url, tmp_path, PRICES) as proxy:
            connection, prefix = connect(proxy.endpoint)
            connection.request("POST", f"{prefix}/v1/messages", b'{"model": "claude-x"}')
            while not upstream.seen:
                time.sleep(0.01)
            connection.close()
            assert gone.wait(3)


def test_tls_through_a_tunnel(tmp_path: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def tunnel(listener: socket.socket, port: int) -> None:
        near, _ = listener.accept()
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            seen.append(near.recv(1000))
            near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, near))
            back.start()
            pump(near, far)
            back.join()

    with secure(lambda talk: talk.json({}), tls) as upstream, socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(upstream.url.rpartition(":")[2])
        tunnels = threading.Thread(target=tunnel, args=(listener, port))
        tunnels.start()
        monkeypatch.setenv("https_proxy", f"http://me:pw@127.0.0.1:{listener.getsockname()[1]}")
        with Proxy(f"https://127.0.0.2:{port}", tmp_path, PRICES) as proxy:
            assert ask(proxy.endpoint, "/x", {}).status == 200
        tunnels.join()
    assert seen[0].startswith(f"CONNECT 127.0.0.2:{port} ".encode())
    assert b"proxy-authorization: basic bwu6chc=" in seen[0].lower()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
