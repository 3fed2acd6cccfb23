"""A proxy between an agent and its provider that counts and cuts: an HTTP server on loopback and a client, in one thread.

One proxy lives for one attempt. Import this late: aiohttp takes half a second.
"""

import asyncio
import hmac
import io
import logging
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from branchline.agents.access import LOOPBACK
from branchline.agents.base import Agent
from branchline.agents.expand import plain
from branchline.agents.metering.api import Question, error_body, question
from branchline.agents.metering.counting import Account, Exchange, Tally
from branchline.core.model.agent import AgentRequest, Usage
from branchline.core.model.pricing import Price
from branchline.errors import BranchlineError, InvalidInput
from branchline.process.descriptors import Places

SILENCE = 900.0  # seconds without a byte; a model may think for ten minutes before its first word
CONNECT = 30.0  # seconds
ENDING = 0.1  # seconds for an answer under way when the proxy is closed; its agent is gone by then
FAREWELL = 0.25  # seconds
LARGEST_REQUEST = 64 << 20  # bytes; no provider takes more
LONGEST_LINE = 1 << 16  # bytes of a header or a path
TOGETHER = 256 << 20  # bytes of all requests under way
UNMEASURED = 4  # requests whose length is not told, that are read at once
AT_ONCE = 128  # connections that may wait to be accepted
PAUSE = 0.02  # seconds
GONE = "the agent closed its connection"
UNNAMED = ("accept", "accept-encoding", "content-type", "user-agent")
"""Headers that a client of aiohttp would add: an agent that sends none has its reasons."""
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "expect", "host"),
    }
)
"""Headers that are about one connection, or that we set ourselves."""
QUIET = logging.getLogger("branchline.metering")  # the transcript tells what came of each request
QUIET.setLevel(logging.CRITICAL + 1)


@contextmanager
def metered(
    agent: Agent, request: AgentRequest, *, prices: Mapping[str, Price], limit_usd: float | None, folder: Path
) -> "Iterator[tuple[AgentRequest, Proxy]]":
    """Yield a request that goes through a proxy, and the proxy, which works until the end of the `with`.

    `folder` receives transcript.jsonl. Raises InvalidInput if the agent cannot be sent to a proxy, or its provider is
    not known.
    """
    name, upstream = agent.spec.id, agent.spec.base_url or agent.provider
    if "endpoint" not in agent.abilities:
        raise InvalidInput(
            f"agent {name} cannot be metered: it cannot be sent to another endpoint",
            hint=f"take `meter: true` away from agent {name}, or use {{base_url}} in its command",
        )
    if not upstream:
        raise InvalidInput(
            f"agent {name} cannot be metered: its provider is not known",
            hint=f"set `base_url:` of agent {name} to its provider's base URL",
        )
    with Proxy(upstream, folder, prices, limit_usd) as proxy:
        yield msgspec.structs.replace(request, endpoint=proxy.endpoint), proxy


class Proxy:
    """Open from `with` to its end. Knows no key: the agent's goes through with its request, and is written nowhere."""

    def __init__(
        self,
        upstream: str,
        folder: Path,
        prices: Mapping[str, Price],
        limit_usd: float | None = None,
        *,
        silence: float = SILENCE,
    ) -> None:
        """`upstream`: the provider's base URL; `folder` receives transcript.jsonl. `silence`: see SILENCE.

        Raises InvalidInput if `upstream` is no such URL.
        """
        self._provider = base_url(upstream)
        self._by_way_of = way_to(self._provider)
        self._folder, self._limit, self._silence = folder, limit_usd, silence
        self._tally = Tally(prices, limit_usd)
        # The random part keeps out those who do not know it: other users, web pages.
        self._prefix = f"/{secrets.token_urlsafe(24)}"
        self._began = time.monotonic()
        self._failure: BaseException | None = None
        self._places, self._bytes, self._unmeasured = Places(), 0, asyncio.Semaphore(UNMEASURED)

    def __enter__(self) -> Self:
        path = self._folder / "transcript.jsonl"
        path.unlink(missing_ok=True)
        # Unbuffered, so that a line is one write, and is there if we are killed.
        self._transcript = open(path, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metering", daemon=True)
        self._thread.start()
        self._done(self._open())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._done(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._transcript.close()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def usage(self) -> Usage:
        """What all answers have used; what is unknown of one is unknown of all. Waits up to 2 s for the last ones."""
        return self._tally.usage

    def cut(self) -> str | None:
        """Why the agent is to be stopped: `budget`, once the known cost is over the limit."""
        return "budget" if self._tally.over else None

    def _done(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> None:
        # SSL_CERT_FILE counts as it is now. One connection a request, which ends when the agent's does.
        context = ssl.create_default_context() if self._provider.scheme == "https" else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0, force_close=True, resolver=aiohttp.ThreadedResolver()),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=self._silence),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=UNNAMED,
            auto_decompress=False,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_route("*", "/{path:(?s:.*)}", self._answer)
        self._server = web.AppRunner(
            app,
            handler_cancellation=True,
            shutdown_timeout=ENDING,
            auto_decompress=False,
            access_log=None,
            logger=QUIET,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )
        await self._server.setup()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=AT_ONCE)
        self._listener.setblocking(False)
        self._accepting = self._loop.create_task(self._accept())
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._prefix}"
        """The base URL for the agent."""

    async def _accept(self) -> None:
        server = self._server.server
        assert server is not None
        while True:
            self._places.held = len(server.connections)
            if not self._places.free:  # those who come wait to be accepted
                await asyncio.sleep(PAUSE)
                continue
            try:
                client, _ = await self._loop.sock_accept(self._listener)
                await self._loop.connect_accepted_socket(server, client)
            except OSError:  # it has gone; or there is no descriptor at the moment
                await asyncio.sleep(PAUSE)

    async def _close(self) -> None:
        assert self._server.server is not None
        self._accepting.cancel()
        self._listener.close()
        for connection in self._server.server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # to close it would wait for an agent that reads no more
        await self._server.cleanup()
        await self._session.close()
        # TLS says farewell after that (docs.aiohttp.org, client_advanced, "Graceful shutdown").
        await asyncio.sleep(FAREWELL if self._provider.scheme == "https" else 0)

    async def _answer(self, call: web.Request) -> web.StreamResponse:
        """Answer one request. The proxy raises an error of its own when it is closed."""
        try:
            return await self._answered(call)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError | OSError):  # the agent has gone, or is being ended
                self._failure = self._failure or error
            raise

    async def _answered(self, call: web.Request) -> web.StreamResponse:
        at, end = time.monotonic(), len(self._prefix)
        given, rest = call.raw_path[:end].encode("utf-8", "replace"), call.raw_path[end:]
        if not hmac.compare_digest(given, self._prefix.encode()) or rest[:1] not in {"", "/", "?"}:
            # It leaves no trace.
            return _refusal(question(call.method, call.raw_path, b""), HTTPStatus.NOT_FOUND, "there is nothing here")
        told = call.content_length
        with self._holding(told or 0) as fits:
            body = await self._read(call) if fits else None
            with self._holding(len(body or b"") if told is None else 0) as fits_now:
                return await self._asked(call, rest, body if fits_now else None, at)

    @contextmanager
    def _holding(self, size: int) -> "Iterator[bool]":
        """Have so many bytes of a request in memory; whether there is room for them."""
        self._bytes += size
        try:
            yield self._bytes <= TOGETHER
        finally:
            self._bytes -= size

    async def _read(self, call: web.Request) -> bytes | None:
        """A request's body; None if it is broken or too long."""
        try:
            if call.content_length is None:
                async with self._unmeasured:
                    return await call.read()
            return await call.read() if call.content_length <= LARGEST_REQUEST else None
        except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
            return None

    async def _asked(self, call: web.Request, rest: str, body: bytes | None, at: float) -> web.StreamResponse:
        """Answer one request whose body is here, or None; `at`: when it came."""
        asked = question(call.method, rest, body or b"")
        line = Exchange(at_ms=_ms(at - self._began), method=asked.method, path=asked.path, model=asked.model)
        line.request_bytes = len(body or b"")
        with self._tally.under_way():
            try:
                refusal = None
                if body is None:
                    message = f"the request is broken, or longer than {LARGEST_REQUEST} bytes, alone or with others"
                    refusal = _refusal(asked, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
                elif self._tally.over:
                    message = f"the budget of ${self._limit:g} for this attempt is used up"
                    refusal = _refusal(asked, HTTPStatus.PAYMENT_REQUIRED, message)
                answer = refusal or await self._exchange(call, asked, rest, line)
                line.status = answer.status
                return answer
            finally:
                line.milliseconds = _ms(time.monotonic() - at)
                try:
                    self._transcript.write(msgspec.json.encode(line) + b"\n")
                except OSError as error:
                    problem = f"the transcript in {self._folder} cannot be written: {error.strerror}"
                    raise BranchlineError(problem, hint="make room on the disk") from error

    async def _exchange(self, call: web.Request, asked: Question, rest: str, line: Exchange) -> web.StreamResponse:
        """Ask the provider, and give the agent each piece of the answer as it comes."""
        account = Account(self._tally, asked, line)
        answer: web.StreamResponse | None = None
        headers = passed_on(call.headers, "content-length", "accept-encoding")
        headers["accept-encoding"] = "identity"  # what is compressed could not be counted
        target = URL(f"{self._provider.origin()}{self._provider.raw_path.rstrip('/')}{rest}", encoded=True)
        try:
            async with self._session.request(
                asked.method,
                target,
                headers=headers,
                data=io.BytesIO(asked.body) if asked.body else None,
                proxy=self._by_way_of,
                allow_redirects=False,
            ) as reply:
                unasked = account.head(reply.status, reply.content_length, reply.headers.get("content-type", ""))
                answer = web.StreamResponse(
                    status=reply.status,
                    reason=reply.reason,
                    headers=passed_on(reply.headers, *(["content-length"] if unasked else [])),
                )
                await answer.prepare(call)
                async for piece in reply.content.iter_any():
                    account.take(piece)
                    await answer.write(unasked.rid(piece) if unasked else piece)
                account.settle(whole=True)
                await answer.write(unasked.end() if unasked else b"")
                return answer
        except asyncio.CancelledError:
            account.settle(whole=False)  # what was not waited for has to be paid all the same
            line.ended = GONE
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if answer is None:
                line.ended = self._words(error)
                return _failure(asked, error, line.ended)
            account.settle(whole=False)
            gone = call.transport is None or call.transport.is_closing()
            line.ended = GONE if gone else f"the provider's answer broke off: {self._words(error)}"
            if call.transport is not None:
                call.transport.close()  # without the body's end, so that the agent sees that it was cut off
            return answer

    def _words(self, error: Exception) -> str:
        """What went wrong. An error's own words may quote a header or an address, and so a key."""
        cause = error.__cause__ or error
        if isinstance(error, TimeoutError):
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            return f"no connection within {CONNECT:g} s" if connecting else f"nothing came for {self._silence:g} s"
        if isinstance(cause, ConnectionError) and cause.errno:
            return os.strerror(cause.errno)
        return str(cause) if isinstance(cause, OSError) else type(error).__name__


def _refusal(asked: Question, status: HTTPStatus, message: str) -> web.Response:
    body = error_body(asked.api, status, f"Branchline: {message}")
    answer = web.Response(status=status, body=body, content_type="application/json")
    answer.force_close()
    return answer


def _failure(asked: Question, error: Exception, words: str) -> web.Response:
    """Why there is no answer, in an answer."""
    if isinstance(error, TimeoutError):
        return _refusal(asked, HTTPStatus.GATEWAY_TIMEOUT, f"no answer from the provider: {words}")
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # a wrong certificate is both
        return _refusal(asked, HTTPStatus.BAD_REQUEST, "the request cannot be passed on")
    return _refusal(asked, HTTPStatus.BAD_GATEWAY, f"no connection to the provider: {words}")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def base_url(url: str) -> URL:
    """A provider's base URL. Raises InvalidInput if it is no plain http or https URL."""
    found = _parsed(url)
    plain_url = found is not None and found.scheme in {"http", "https"} and found.host
    if found is None or not plain_url or found.user or found.password or found.query_string or found.fragment:
        raise InvalidInput(
            f"{url.partition('?')[0].rpartition('@')[2]!r} is no base URL of a provider",
            hint="set `base_url:` to one like https://api.example.org/v1, without a name, a key or a query in it",
        )
    return found


def way_to(provider: URL) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY ask for. Raises InvalidInput for one that we cannot use."""
    proxies = getproxies_environment()
    named = proxies.get(provider.scheme) or proxies.get("all")
    if not named or provider.host in LOOPBACK or proxy_bypass(provider.authority):
        return None
    found = _parsed(named if "://" in named else f"http://{named}")
    if found is None or found.scheme != "http" or not found.host:
        raise InvalidInput(
            f"the environment asks for a {found.scheme if found else 'broken'} proxy to {provider.host}, "
            "which metering cannot use",
            hint="name an http:// proxy in HTTPS_PROXY, or except the host by NO_PROXY",
        )
    return found


def _parsed(url: str) -> URL | None:
    try:
        return URL(url)
    except ValueError:
        return None


def passed_on(headers: MultiMapping[str], *but: str) -> CIMultiDict[str]:
    """The headers that concern the other end too, without those named in `but`."""
    named = {word.strip().lower() for value in headers.getall("connection", ()) for word in value.split(",")}
    left_out = HOP_BY_HOP.union(named, but)
    return CIMultiDict((name, plain(value)) for name, value in headers.items() if name.lower() not in left_out)
