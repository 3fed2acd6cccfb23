"""The proxy of one attempt, between an agent and its provider."""

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from branchline.agents.metering.api import Question, Unasked, error_body, question
from branchline.agents.metering.reply import ClientGone, Reply
from branchline.agents.metering.server import LARGEST_REQUEST, Call, Server
from branchline.agents.metering.tally import Account, Tally
from branchline.agents.metering.transcript import Exchange, Transcript
from branchline.agents.metering.upstream import Upstream
from branchline.core.model.agent import Usage
from branchline.core.model.pricing import Price

SILENCE = 900.0  # seconds without a byte; a model may think for ten minutes before its first word
PATIENCE = 5.0  # seconds for what is under way when the proxy is closed


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
        """`upstream`: the provider's base URL; `folder` receives transcript.jsonl.

        Raises InvalidInput if `upstream` is no such URL.
        """
        self._upstream = Upstream(upstream, silence=silence)
        self._folder, self._limit = folder, limit_usd
        self._tally = Tally(prices, limit_usd)
        self._token = secrets.token_urlsafe(24)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._transcript = Transcript(self._folder / "transcript.jsonl")
        self._server = Server(self._answer)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.stop(PATIENCE)
        self._transcript.close()
        failure = self._server.failure
        if failure is not None and error is None:
            raise failure

    @property
    def endpoint(self) -> str:
        """The base URL for the agent. The random part keeps out whoever does not know it: other users, web pages."""
        return f"http://127.0.0.1:{self._server.port}/{self._token}"

    @property
    def usage(self) -> Usage:
        """What all answers have used; what is unknown of one is unknown of all. Waits up to 2 s for the last ones."""
        return self._tally.usage

    def cut(self) -> str | None:
        """Why the agent is to be stopped: `budget`, once the known cost is over the limit."""
        return "budget" if self._tally.over else None

    def _answer(self, call: Call) -> None:
        """Answer one request, whatever comes of it; one that does not know the token leaves no trace."""
        at = time.monotonic()
        base = f"/{self._token}"
        given, rest = call.path[: len(base)], call.path[len(base) :]
        if not hmac.compare_digest(given.encode(), base.encode()) or rest[:1] not in {"", "/", "?"}:
            call.close_connection = True  # with what it may have sent unread
            call.send(_refusal(question(call.command, call.path, b""), HTTPStatus.NOT_FOUND, "there is nothing here"))
            return
        body = call.body()
        asked = question(call.command, rest, body or b"")
        line = Exchange(at_ms=_ms(at - self._began), method=asked.method, path=asked.path, model=asked.model)
        line.request_bytes = len(body or b"")
        with self._tally.under_way():
            try:
                self._exchange(call, asked, line, _Sent(rest, body))
            except ClientGone as gone:
                call.close_connection = True
                line.ended = str(gone)
            finally:
                line.milliseconds = _ms(time.monotonic() - at)
                self._transcript.write(line)

    def _exchange(self, call: Call, asked: Question, line: Exchange, sent: "_Sent") -> None:
        refusal = self._refused(asked, sent)
        if refusal is not None:
            line.status = refusal.status
            call.send(refusal)
            return
        account = Account(self._tally, asked, line)
        try:
            headers = call.headers.items()
            with self._upstream.ask(asked.method, sent.path, headers, asked.body, call.connection) as reply:
                account.head(reply)
                _pass_on(call, asked, reply, account)
        except ClientGone:
            account.settle(whole=False)  # what nobody waited for has to be paid all the same
            raise
        except (OSError, HTTPException, ValueError) as error:
            line.ended = str(error) if isinstance(error, OSError) else type(error).__name__
            if line.status:
                call.close_connection = True  # without the body's end, so that the agent sees that it was cut off
                return
            failed = _failure(asked, error)
            line.status = failed.status
            call.send(failed)

    def _refused(self, asked: Question, sent: "_Sent") -> Reply | None:
        if sent.body is None:
            return _refusal(
                asked,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request is broken, or longer than {LARGEST_REQUEST} bytes",
            )
        if self._tally.over:
            return _refusal(
                asked, HTTPStatus.PAYMENT_REQUIRED, f"the budget of ${self._limit:g} for this attempt is used up"
            )
        return None


def _pass_on(call: Call, asked: Question, reply: Reply, account: Account) -> None:
    """Give the agent each piece as it comes."""
    whole = False
    unasked = Unasked() if asked.usage_added and reply.is_stream else None
    try:
        call.start(replace(reply, length=None) if unasked else reply)
        for piece in reply.pieces:
            account.take(piece)
            call.write(unasked.rid(piece) if unasked else piece)
        whole = True
    finally:
        account.settle(whole=whole)
    call.write(unasked.end() if unasked else b"")
    call.end_body()


@dataclass(frozen=True, slots=True)
class _Sent:
    """What the agent sent: the path below the base URL, its query with it, and the body; None if it is too large."""

    path: str
    body: bytes | None


def _refusal(asked: Question, status: HTTPStatus, message: str) -> Reply:
    body = error_body(asked.api, status, f"Branchline: {message}")
    return Reply(status, status.phrase, [("content-type", "application/json")], len(body), iter([body]))


def _failure(asked: Question, error: Exception) -> Reply:
    """Why there is no answer, in an answer."""
    if isinstance(error, TimeoutError):
        return _refusal(asked, HTTPStatus.GATEWAY_TIMEOUT, f"no answer from the provider: {error}")
    if isinstance(error, OSError | BadStatusLine):
        return _refusal(asked, HTTPStatus.BAD_GATEWAY, f"no connection to the provider: {error}")
    # The error's own words may quote a header, and so a key.
    return _refusal(asked, HTTPStatus.BAD_REQUEST, "the request cannot be passed on")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
