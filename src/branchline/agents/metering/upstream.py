"""The way to the provider: one connection a request, which ends when the agent's does."""

import io
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from branchline.agents.metering.reply import ClientGone, CutOff, Reply, passed_on
from branchline.errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT = 30.0  # seconds
PIECE = 1 << 16  # bytes
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Upstream:
    """A provider, by its base URL; reached through the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for."""

    def __init__(self, url: str, *, silence: float) -> None:
        """`silence`: seconds after which a provider that sends nothing is given up.

        Raises InvalidInput if it is no plain http or https URL.
        """
        parts = _parts(url)
        self._host, self._port, self._secure = parts.hostname or "", parts.port, parts.scheme == "https"
        self._netloc = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._silence = silence
        self._proxy = _proxy(parts.scheme, parts.netloc, self._host)
        self._context = None
        if self._secure:
            self._context = ssl.create_default_context()

    @contextmanager
    def ask(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes, client: socket.socket
    ) -> Iterator[Reply]:
        """Send a request and yield the answer. `client`: the agent's connection, watched while we wait.

        Raises ClientGone; ValueError or HTTPException if path or headers cannot be sent; OSError for the rest.
        """
        connection = self._connection()
        connection.connect()
        sock = connection.sock
        try:
            sock.settimeout(self._silence)
            connection.sock = _Watched(sock, client, self._silence)
            target, own = self._prefix + path, [("Host", self._netloc)]
            target = target if target.startswith("/") else f"/{target}"
            if body or method in {"POST", "PUT", "PATCH"}:
                own.append(("Content-Length", str(len(body))))
            if self._proxy and not self._secure:
                target = f"http://{self._netloc}{target}"
                own += _credentials(self._proxy)
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in [*passed_on(headers), *own]:
                if name.lower() != "accept-encoding":
                    connection.putheader(name, value)
            # What is compressed could not be counted.
            connection.putheader("Accept-Encoding", "identity")
            connection.endheaders(body or None)
            with connection.getresponse() as response:
                length = None if response.chunked else response.length
                yield Reply(
                    response.status, response.reason, passed_on(response.getheaders()), length, _pieces(response)
                )
        finally:
            sock.close()

    def _connection(self) -> HTTPConnection:
        host, port = (self._proxy.hostname or "", self._proxy.port) if self._proxy else (self._host, self._port)
        if self._context is None:
            return HTTPConnection(host, port, timeout=CONNECT)
        made = HTTPSConnection(host, port, timeout=CONNECT, context=self._context)
        if self._proxy:
            made.set_tunnel(self._host, self._port, headers=dict(_credentials(self._proxy)))
        return made


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        plain = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        plain = False
    if not plain or parts.username or parts.query or parts.fragment:
        raise InvalidInput(
            f"{url.partition('?')[0].rpartition('@')[2]!r} is no base URL of a provider",
            hint="set `base_url:` to one like https://api.example.org/v1, without a name, a key or a query in it",
        )
    return parts


def _proxy(scheme: str, netloc: str, host: str) -> SplitResult | None:
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or host in LOOPBACK or proxy_bypass(netloc):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidInput(
            f"the environment asks for a {parts.scheme} proxy to {host}, which metering cannot use",
            hint="name an http:// proxy in HTTPS_PROXY, or except the host by NO_PROXY",
        )
    return parts


def _credentials(proxy: SplitResult) -> list[tuple[str, str]]:
    if not proxy.username:
        return []
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [("Proxy-Authorization", "Basic " + b64encode(pair.encode()).decode())]


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    """The body as it comes."""
    while piece := _piece(response):
        yield piece
    if response.length:
        raise CutOff(f"{response.length} bytes of the answer are missing")


def _piece(response: HTTPResponse) -> bytes:
    try:
        return response.read1(PIECE)
    except ClientGone:
        raise
    except (HTTPException, OSError) as error:
        raise CutOff(f"the provider's answer broke off: {error}") from error


class _Watched:
    """What http.client needs of a socket; reading from it ends when the agent goes away."""

    def __init__(self, sock: socket.socket, client: socket.socket, silence: float) -> None:
        self._sock, self._client, self._silence = sock, client, silence

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_Reading(self._sock, self._client, self._silence), PIECE)

    def close(self) -> None:
        """http.client closes it as soon as the answer's head is read; reading goes on until `ask` closes it."""


class _Reading(io.RawIOBase):
    def __init__(self, sock: socket.socket, client: socket.socket, silence: float) -> None:
        super().__init__()
        self._sock, self._client, self._silence = sock, client, silence
        self._sockets = select.poll()
        self._sockets.register(sock, select.POLLIN)
        self._sockets.register(client, select.POLLIN)
        sock.setblocking(False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        deadline = time.monotonic() + self._silence
        while True:
            try:
                return self._sock.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        ready = self._sockets.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            raise TimeoutError(f"nothing came for {self._silence:g} s")
        if any(number == self._client.fileno() for number, _ in ready):
            if gone(self._client):
                raise ClientGone("the agent closed its connection")
            self._sockets.unregister(self._client)  # its next request has come already; it would wake us for ever


def gone(client: socket.socket) -> bool:
    """Whether the other end has closed its connection."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
