"""The loopback side: takes an agent's requests and gives it the answers, a thread a connection."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from branchline.agents.metering.reply import ClientGone, Reply

LARGEST_REQUEST = 64 << 20  # bytes; no provider takes more
AT_ONCE = 128  # connections that may wait to be accepted


class Server(ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1; `answer` is called for every request, in that connection's thread."""

    daemon_threads = True
    request_queue_size = AT_ONCE

    def __init__(self, answer: "Callable[[Call], None]") -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.answer = answer
        self.failure: BaseException | None = None
        """The first error of our own in answering; a broken connection is none."""
        self._changed = threading.Condition()
        self._open: set[Any] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._accept, name="metering", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def stop(self, patience: float) -> None:
        """Take no more requests and break off those under way; wait at most `patience` seconds for their end."""
        self._closing = True
        # Accepting waits for a connection without a time limit, which costs nothing while there is none.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._thread.join(patience)
        self.server_close()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, patience)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, and answer it in a thread."""
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's signature
        """Keep the error for whoever closes the proxy, instead of printing it into the user's terminal."""
        import sys

        error = sys.exception()
        if not isinstance(error, OSError):
            self.failure = self.failure or error

    def _accept(self) -> None:
        while not self._closing:
            self.handle_request()


class Call(BaseHTTPRequestHandler):
    """One request of an agent."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def body(self) -> bytes | None:
        """The request's body; None if it is too large or broken, after which the connection cannot be used again."""
        try:
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                made = self._chunks()
            else:
                length = int(self.headers.get("content-length") or 0)
                made = self.rfile.read(length) if 0 <= length <= LARGEST_REQUEST else None
                made = made if made is not None and len(made) == length else None
        except ValueError:
            made = None
        self.close_connection = self.close_connection or made is None
        return made

    def _chunks(self) -> bytes | None:
        made = bytearray()
        while size := int(self.rfile.readline(1024).partition(b";")[0], 16):
            if size < 0 or len(made) + size > LARGEST_REQUEST:
                return None
            made += self.rfile.read(size)
            self.rfile.readline(1024)
        while self.rfile.readline(1 << 16).strip():
            pass
        return bytes(made)

    def send(self, reply: Reply) -> None:
        """Send a whole answer."""
        self.start(reply)
        for piece in reply.pieces:
            self.write(piece)
        self.end_body()

    def start(self, reply: Reply) -> None:
        """Send an answer's head. Like the others, raises ClientGone if the agent does not take it."""
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.headers:
            self.send_header(name, value)
        self._chunked = False
        self._bodiless = self.command == "HEAD" or reply.status in {204, 304}
        if not self._bodiless:
            if reply.length is not None:
                self.send_header("content-length", str(reply.length))
            elif self.request_version >= "HTTP/1.1":
                self._chunked = True
                self.send_header("transfer-encoding", "chunked")
            else:
                self.close_connection = True
        if self.close_connection:
            self.send_header("connection", "close")
        with _gone():
            self.end_headers()

    def write(self, piece: bytes) -> None:
        """Send a piece of the body, at once."""
        if piece and not self._bodiless:
            with _gone():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def end_body(self) -> None:
        """Say that the body has come to its end."""
        if self._chunked:
            with _gone():
                self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Print nothing: the transcript tells."""

    def _answer(self) -> None:
        self.server.answer(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815 - what http.server looks for


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClientGone("the agent closed its connection") from error
