import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from branchline.agents.metering.reply import ClientGone, CutOff
from branchline.agents.metering.upstream import Upstream, gone
from branchline.errors import InvalidInput
from unit.agents.metering.provider import Provider, Say, Talk, provider


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """An agent's connection: our end, its end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ask(url: str, pair: Pair, *, path: str = "/x", silence: float = 20.0, body: bytes = b"") -> tuple[int, bytes]:
    with Upstream(url, silence=silence).ask("POST", path, [("Accept-Encoding", "gzip")], body, pair[0]) as reply:
        return reply.status, b"".join(reply.pieces)


@pytest.mark.parametrize(
    ("prefix", "path", "target"),
    [("", "/v1/x?a=b", "/v1/x?a=b"), ("/v1/", "/x", "/v1/x"), ("/v1", "", "/v1"), ("", "", "/"), ("", "?a=b", "/?a=b")],
)
def test_the_path_is_appended_to_the_base_urls(pair: Pair, prefix: str, path: str, target: str) -> None:
    with provider(lambda talk: talk.json({})) as upstream:
        ask(upstream.url + prefix, pair, path=path)
        assert upstream.seen[0].path == target
        assert upstream.seen[0].headers["host"] == upstream.url.removeprefix("http://")
        assert upstream.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "url", ["", "api.example.org", "ftp://x", "http://", "http://x:port", "https://u:p@x/v1", "https://x/?key=s3cret"]
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(InvalidInput, match="no base URL") as caught:
        Upstream(url, silence=1)
    assert "s3cret" not in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_a_silent_provider_is_given_up(pair: Pair) -> None:
    with provider(lambda _: time.sleep(1)) as upstream, pytest.raises(TimeoutError, match=r"nothing came for 0\.1 s"):
        ask(upstream.url, pair, silence=0.1)


def test_when_the_agent_goes_the_provider_is_left(pair: Pair) -> None:
    def drip(talk: Talk) -> None:
        talk.begin_events()
        for _ in range(1000):
            talk.chunk(b": wait\n\n")
            time.sleep(0.01)

    with provider(drip) as upstream:
        threading.Timer(0.1, pair[1].close).start()
        with pytest.raises(ClientGone):
            ask(upstream.url, pair)
        assert upstream.lost.wait(5)


def test_when_the_agent_goes_before_the_first_byte(pair: Pair) -> None:
    with provider(lambda _: time.sleep(0.5)) as upstream:
        threading.Timer(0.1, pair[1].close).start()
        with pytest.raises(ClientGone):
            ask(upstream.url, pair)


def test_a_second_request_sent_already_is_no_farewell(pair: Pair) -> None:
    def late(talk: Talk) -> None:
        time.sleep(0.2)
        talk.json({})

    pair[1].send(b"GET / HTTP/1.1\r\n\r\n")
    with provider(late) as upstream:
        assert ask(upstream.url, pair) == (200, b"{}")
    assert not gone(pair[0])


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
def test_a_body_that_breaks_off(pair: Pair, say: Say) -> None:
    with provider(say) as upstream, pytest.raises(CutOff):
        ask(upstream.url, pair)


def nonsense(talk: Talk) -> None:
    talk.wfile.write(b"nonsense\r\n\r\n")
    talk.close_connection = True


@pytest.mark.parametrize("say", [nonsense, Talk.reset])
def test_no_answer_at_all(pair: Pair, say: Say) -> None:
    with provider(say) as upstream, pytest.raises((HTTPException, OSError)):
        ask(upstream.url, pair)


def test_nobody_listens(pair: Pair) -> None:
    with provider(lambda _: None) as upstream:
        url = upstream.url
    with pytest.raises(ConnectionRefusedError):
        ask(url, pair)


def test_by_way_of_a_proxy(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(lambda talk: talk.json({})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:s%40x@"))
        assert ask("http://model.invalid/v1", pair)[0] == 200
        seen = proxy.seen[0]
    assert (seen.path, seen.headers["host"]) == ("http://model.invalid/v1/x", "model.invalid")
    assert seen.headers["proxy-authorization"] == "Basic bWU6c0B4"


def test_loopback_and_no_proxy_go_straight(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with provider(lambda talk: talk.json({})) as upstream:
        assert ask(upstream.url, pair)[0] == 200
    monkeypatch.setenv("no_proxy", "model.invalid")
    with pytest.raises(socket.gaierror):
        ask("http://model.invalid", pair)


def test_a_proxy_that_we_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="socks5 proxy"):
        Upstream("https://model.invalid", silence=1)


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


def test_tls(pair: Pair, tls: ssl.SSLContext) -> None:
    body = b"b" * (1 << 20)
    with secure(lambda talk: talk.json({"got": len(talk.seen.body)}), tls) as upstream:
        url = upstream.url.replace("http://127.0.0.1", "https://localhost")
        assert ask(url, pair, body=body) == (200, b'{"got": 1048576}')


def test_a_certificate_of_another_host_is_refused(pair: Pair, tls: ssl.SSLContext) -> None:
    with secure(lambda talk: talk.json({}), tls) as upstream, pytest.raises(ssl.SSLCertVerificationError):
        ask(upstream.url.replace("http://", "https://"), pair)


def test_when_the_agent_goes_while_tls_waits(pair: Pair, tls: ssl.SSLContext) -> None:
    with secure(lambda _: time.sleep(2), tls) as upstream:
        url = upstream.url.replace("http://127.0.0.1", "https://localhost")
        began = time.monotonic()
        threading.Timer(0.1, pair[1].close).start()
        with pytest.raises(ClientGone):
            ask(url, pair)
        assert time.monotonic() - began < 1.5


def test_tls_through_a_tunnel(pair: Pair, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
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
        between = threading.Thread(target=tunnel, args=(listener, port))
        between.start()
        monkeypatch.setenv("https_proxy", f"http://me:pw@127.0.0.1:{listener.getsockname()[1]}")
        assert ask(f"https://127.0.0.2:{port}", pair) == (200, b"{}")
        between.join()
    assert seen[0].startswith(f"CONNECT 127.0.0.2:{port} ".encode())
    assert b"Proxy-Authorization: Basic bWU6cHc=" in seen[0]


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
