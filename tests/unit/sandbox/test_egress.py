import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from branchline.sandbox.egress import Egress


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody on this machine's loopback who says back, in capitals, what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    while data := client.recv(1024):
                        client.sendall(data.upper())

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def said(egress: Egress, request: str, more: bytes = b"") -> bytes:
    """All that the proxy answers to a request and what follows it at once."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(egress.path))
        client.sendall(request.encode() + b"\r\n\r\n" + more)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while data := client.recv(1024):
            found += data
    return found


def test_a_port_that_is_named_is_reached(port: int) -> None:
    with closing(Egress(ports=[port])) as egress:
        answer = said(egress, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x", b"hello")
    assert answer == b"HTTP/1.1 200 Connection Established\r\n\r\nHELLO"
    assert egress.refused == ()


def test_nothing_else_is_and_it_is_told(port: int) -> None:
    with closing(Egress([("pypi.org", 443)], [port])) as egress:
        for target in (f"127.0.0.1:{port + 1}", "pypi.org:80", f"localhost:{port}", "evil.example:443"):
            assert said(egress, f"CONNECT {target} HTTP/1.1").startswith(b"HTTP/1.1 403 ")
        assert egress.refused == (f"127.0.0.1:{port + 1}", "pypi.org:80", f"localhost:{port}", "evil.example:443")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "0.0.0.0", "169.254.169.254"])
def test_a_name_that_is_allowed_does_not_open_this_machine(port: int, host: str) -> None:
    with closing(Egress([(host, port)])) as egress:
        assert said(egress, f"CONNECT {host}:{port} HTTP/1.1", b"hello").startswith(b"HTTP/1.1 403 ")
        assert egress.refused == (f"{host}:{port}",)


@pytest.mark.parametrize(
    "request_",
    ["GET http://pypi.org/simple HTTP/1.1", "CONNECT pypi.org HTTP/1.1", "CONNECT :443 HTTP/1.1", "", "\xff"],
)
def test_what_is_no_connect_is_refused(request_: str) -> None:
    with closing(Egress([("pypi.org", 443)])) as egress:
        assert said(egress, request_).startswith(b"HTTP/1.1 405 ")
        assert egress.refused == (("http://pypi.org",) if request_.startswith("GET") else ())


def test_a_host_that_is_not_there_is_told() -> None:
    with closing(Egress([("no-such-host.invalid", 443)])) as egress:
        assert said(egress, "CONNECT no-such-host.invalid:443 HTTP/1.1").startswith(b"HTTP/1.1 502 ")


def test_a_head_without_end_is_given_up() -> None:
    with closing(Egress()) as egress:
        assert said(egress, "CONNECT x " + "y" * 9000).startswith(b"HTTP/1.1 405 ")


def test_many_refusals_are_remembered_in_part() -> None:
    with closing(Egress()) as egress:
        for number in range(25):
            said(egress, f"CONNECT host{number}.example:443 HTTP/1.1")
        assert len(egress.refused) == 20


def test_a_closed_one_takes_no_more_and_leaves_nothing(port: int) -> None:
    egress = Egress(ports=[port])
    egress.close()
    assert not egress.path.parent.exists()
