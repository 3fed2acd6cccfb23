"""The way out of a sandbox without a network: a proxy on a unix socket that knows which hosts are allowed."""

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from branchline.core.model.sandbox import host_matches
from branchline.core.rules.linear import compiled
from branchline.process.descriptors import Places
from branchline.process.temporary import temporary

LONGEST_HEAD = 8192  # bytes
PATIENCE = 30.0  # seconds to say where to, and to get there
PAUSE = 0.02  # seconds
PIECE = 1 << 16
MOST_NAMED = 20  # refused hosts that are remembered; a program may try thousands
LOOPBACK = "127.0.0.1"
ABSOLUTE = compiled(r"http://[A-Za-z0-9.:-]{1,253}")


class Egress:
    """Takes HTTP's CONNECT on a unix socket, and makes the connection if its host and port are allowed.

    `hosts` are names or `*.` and a domain, each with a port; `ports` are those of this machine's loopback. A name that
    leads to this machine or to its link is refused: a foreign nameserver must not open what was not named. `refused`:
    `host:port` of what was asked for and not allowed, each once, in order.
    """

    def __init__(self, hosts: Iterable[tuple[str, int]] = (), ports: Iterable[int] = ()) -> None:
        self._hosts = tuple(hosts)
        self._local = {(LOOPBACK, port) for port in ports}
        self.refused: tuple[str, ...] = ()
        self._places, self._lock, self._closed = Places(), threading.Lock(), False
        self._live: set[socket.socket] = set()
        self._folder = ExitStack()
        self.path = self._folder.enter_context(temporary()) / "egress"
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # By the folder's descriptor: the path of a socket has room for 107 bytes (unix(7)), TMPDIR has no limit.
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._server.bind(f"/proc/self/fd/{folder}/{self.path.name}")
        finally:
            os.close(folder)
        self._server.listen(64)
        threading.Thread(target=self._accept, name="egress", daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and end those under way: their other side may never do that."""
        with self._lock:
            self._closed = True
            for one in (self._server, *self._live):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._folder.close()

    def _accept(self) -> None:
        while not self._closed:
            if not self._places.free:  # those who come wait to be accepted
                time.sleep(PAUSE)
                continue
            try:
                client, _ = self._server.accept()
            except OSError:  # closed; or there is no descriptor at the moment
                time.sleep(PAUSE)
                continue
            self._count(1)
            try:
                threading.Thread(target=self._serve, args=(client,), name="egress", daemon=True).start()
            except RuntimeError:  # there is no thread at the moment
                client.close()
                self._count(-1)

    def _count(self, more: int) -> None:
        with self._lock:
            self._places.held += more

    @contextmanager
    def _living(self, connection: socket.socket) -> Iterator[None]:
        """Have a connection ended when all are, and closed at the end."""
        with connection:
            with self._lock:
                if self._closed:
                    raise ConnectionAbortedError
                self._live.add(connection)
            try:
                yield
            finally:
                with self._lock:
                    self._live.discard(connection)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), self._living(client):
            head, rest = _head(client)
            upstream = self._answered(client, head)
            if upstream is not None:
                with self._living(upstream):
                    _join(client, upstream, rest)
        self._count(-1)

    def _answered(self, client: socket.socket, head: bytes) -> socket.socket | None:
        """The connection that was asked for; None if there will be none, which the client was told."""
        target = _target(head)
        if target is None:
            # A request that wants the proxy to read it names its host as `http://host`.
            words = head.split(b" ", 2)
            plain = ABSOLUTE.match(words[1].decode("ascii", "replace")) if len(words) == 3 else None
            self._refuse(plain[0] if plain else "")
            client.sendall(_reply(405, "Method Not Allowed", "this proxy only takes CONNECT: use https"))
            return None
        host, port = target
        try:
            return self._connected(host, port)
        except PermissionError as error:
            self._refuse(f"{host}:{port}")
            client.sendall(_reply(403, "Forbidden", str(error)))
            return None
        except OSError as error:
            client.sendall(_reply(502, "Bad Gateway", f"cannot reach {host}:{port}: {error.strerror or error}"))
            return None

    def _connected(self, host: str, port: int) -> socket.socket:
        """A connection to a host. Raises OSError, PermissionError if it is not allowed or leads only to here or our link."""
        local = (host, port) in self._local
        if not local and not host_matches(self._hosts, host, port):
            raise PermissionError(f"{host}:{port} is not in sandbox.network")
        problem: OSError = PermissionError(f"{host} leads back to this machine")
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            where = ipaddress.ip_address(str(address[0]).partition("%")[0])
            mapped = getattr(where, "ipv4_mapped", None) or where
            if not local and (mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified):
                continue
            try:
                return socket.create_connection((str(address[0]), port), timeout=PATIENCE)
            except OSError as error:
                problem = error
        raise problem

    def _refuse(self, what: str) -> None:
        if what and what not in self.refused and len(self.refused) < MOST_NAMED:
            self.refused += (what,)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    """What a client asks for, and what it has sent after that. However slowly it speaks, it has only so much time."""
    data, until = b"", time.monotonic() + PATIENCE
    while b"\r\n\r\n" not in data and len(data) < LONGEST_HEAD:
        client.settimeout(max(0.001, until - time.monotonic()))
        more = client.recv(PIECE)
        if not more:
            break
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    client.settimeout(PATIENCE)
    return head, rest


def _join(client: socket.socket, upstream: socket.socket, rest: bytes) -> None:
    """Hand on until both sides have said all."""
    client.sendall(b"HTTP/1.1 200 Connection Established\r\n\r\n")
    client.settimeout(None)
    upstream.settimeout(None)
    upstream.sendall(rest)
    back = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
    back.start()
    _copy(client, upstream)
    back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _target(head: bytes) -> tuple[str, int] | None:
    """Host and port of a CONNECT; None if it is none."""
    words = head.split(b"\r\n", 1)[0].decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != "CONNECT":
        return None
    host, _, port = words[1].rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        return None
    return host.lower().rstrip("."), int(port)


def _reply(code: int, reason: str, text: str) -> bytes:
    body = f"branchline: {text}\n".encode()
    return f"HTTP/1.1 {code} {reason}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
