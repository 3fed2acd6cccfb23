import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from branchline.agents.metering.reply import ClientGone, Reply
from branchline.agents.metering.server import LARGEST_REQUEST, Call, Server
from unit.agents.metering.provider import ask

HEADERS = [("x-mine", "1"), ("x-mine", "2")]


@contextmanager
def serving(answer: Callable[[Call], None]) -> Iterator[Server]:
    server = Server(answer)
    try:
        yield server
    finally:
        server.stop(5)


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def echo(call: Call) -> None:
    body = call.body() or b"none"
    call.send(Reply(200, "Fine", HEADERS, len(body), iter([body])))


def streamed(call: Call) -> None:
    call.send(Reply(200, "", HEADERS, None, iter([b"a" * 10, b"b"])))


def raw(server: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1000), b""))


def test_it_listens_on_loopback_alone() -> None:
    with serving(echo) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


def test_bodies_of_known_length_and_in_chunks() -> None:
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nt: 1\r\n\r\n"
    with serving(echo) as server:
        assert ask(url(server), "/", b"hello").body == b"hello"
        answer = raw(server, chunked)
    assert answer.startswith(b"HTTP/1.1 200 Fine\r\nx-mine: 1\r\nx-mine: 2\r\ncontent-length: 13\r\n")
    assert answer.endswith(b"\r\n\r\nabc0123456789")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: many",
        b"Content-Length: -1",
        b"Content-Length: %d" % (LARGEST_REQUEST + 1),
        b"Content-Length: 10",  # and then the end
        b"Transfer-Encoding: chunked\r\n\r\nxyz",
        b"Transfer-Encoding: chunked\r\n\r\n-1",
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFF",
    ],
)
def test_broken_and_too_large_bodies_are_none_and_end_the_connection(head: bytes) -> None:
    with serving(echo) as server:
        answer = raw(server, b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n")
    assert answer.endswith(b"\r\nconnection: close\r\n\r\nnone")


def test_a_body_of_unknown_length_is_in_chunks_or_ends_with_the_connection() -> None:
    with serving(streamed) as server:
        assert raw(server, b"GET / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\na\r\naaaaaaaaaa\r\n1\r\nb\r\n0\r\n\r\n")
        assert raw(server, b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\nconnection: close\r\n\r\naaaaaaaaaab")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_on_one_connection(method: str) -> None:
    with serving(echo) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for _ in range(3):
            connection.request(method, "/")
            response = connection.getresponse()
            assert response.read() == (b"" if method == "HEAD" else b"none")
        connection.close()


def test_stopping_breaks_off_what_is_under_way() -> None:
    began, ended = threading.Event(), threading.Event()

    def endless(call: Call) -> None:
        def pieces() -> Iterator[bytes]:
            while True:
                began.set()
                yield b"x" * 1000

        try:
            call.send(Reply(200, "", [], None, pieces()))
        except ClientGone:
            ended.set()
            raise

    server = Server(endless)
    with socket.create_connection(("127.0.0.1", server.port)) as stuck:
        stuck.sendall(b"GET / HTTP/1.1\r\n\r\n")  # and never reads
        assert began.wait(5)
        server.stop(5)
        assert ended.is_set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_an_error_of_our_own_is_kept_and_a_broken_connection_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(call: Call) -> None:
        raise ZeroDivisionError if call.path == "/bug" else ClientGone("away")

    with serving(fails) as server:
        for path, failed in (("/", type(None)), ("/bug", ZeroDivisionError)):
            with pytest.raises(http.client.RemoteDisconnected):
                ask(url(server), path)
            assert isinstance(server.failure, failed)
    assert capsys.readouterr().err == ""
