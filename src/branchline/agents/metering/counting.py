"""The sum of the requests of one attempt: the tokens in each answer, of any known API, counted while it passes."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec

from branchline.agents.metering.api import LONGEST, Question, Unasked
from branchline.agents.stream import NO_JSON
from branchline.core.model.agent import Usage
from branchline.core.model.pricing import Price, price_of, priced

Count = Annotated[int, msgspec.Meta(ge=0)] | None
ENDS_SOON = 2.0  # seconds; a request ends with its agent


class _Details(msgspec.Struct):
    cached_tokens: Count = None


class _Usage(msgspec.Struct):
    """The fields of all four APIs; their names do not collide in meaning."""

    input_tokens: Count = None  # Anthropic: without what was cached; OpenAI responses: with it
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    input_tokens_details: _Details | None = None
    prompt_tokens: Count = None  # OpenAI chat
    completion_tokens: Count = None
    prompt_tokens_details: _Details | None = None
    prompt_token_count: Count = msgspec.field(default=None, name="promptTokenCount")  # Gemini
    candidates_token_count: Count = msgspec.field(default=None, name="candidatesTokenCount")
    thoughts_token_count: Count = msgspec.field(default=None, name="thoughtsTokenCount")
    tool_token_count: Count = msgspec.field(default=None, name="toolUsePromptTokenCount")
    cached_token_count: Count = msgspec.field(default=None, name="cachedContentTokenCount")


class _Inner(msgspec.Struct):
    model: str | None = None
    usage: _Usage | None = None


class _Candidate(msgspec.Struct):
    finish_reason: str | None = msgspec.field(default=None, name="finishReason")


class _Event(msgspec.Struct):
    """An event of a stream, or a whole answer."""

    type: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    message: _Inner | None = None
    response: _Inner | None = None
    model_version: str | None = msgspec.field(default=None, name="modelVersion")
    usage_metadata: _Usage | None = msgspec.field(default=None, name="usageMetadata")
    candidates: tuple[_Candidate, ...] | None = None


LAST_EVENTS = {"message_stop", "response.completed", "response.incomplete", "response.failed"}
EVENTS = msgspec.json.Decoder(_Event | tuple[_Event, ...])


class Counter:
    """Fed with an answer's body, in pieces of any size; holds at most one event of it."""

    def __init__(self, content_type: str) -> None:
        """`content_type` as in the header; what is neither a stream of events nor JSON counts as unknown."""
        kind = content_type.partition(";")[0].strip().lower()
        self.is_stream = kind == "text/event-stream"
        self._skip = not (self.is_stream or not kind or "json" in kind)
        self._rest = bytearray()  # of a line, or a whole answer that is no stream
        self._data = bytearray()  # of an event
        self._usage = _Usage()
        self._lost = False
        self.model = ""
        """The one that has answered; empty if the answer does not say so."""
        self.complete = False
        """Whether the event has come after which no API says anything more about tokens."""

    def feed(self, data: bytes) -> None:
        """Take the next piece in."""
        if self._skip or self._lost:
            return
        *lines, rest = data.split(b"\n") if self.is_stream else (data,)
        for line in lines:
            self._keep(self._rest, line)
            self._line(bytes(self._rest))
            self._rest.clear()
        self._keep(self._rest, rest)

    def counted(self, *, whole: bool) -> Usage:
        """What was used. `whole`: the body came to its end; a broken off one is known only if it was `complete`."""
        if self.is_stream:
            self._line(bytes(self._rest))
            self._line(b"")
        elif whole and not self._skip:
            self._event(bytes(self._rest))
        self._rest.clear()
        known = not self._lost and (whole or self.complete)
        return _used(self._usage) if known else Usage()

    def _keep(self, buffer: bytearray, data: bytes) -> None:
        if len(buffer) + len(data) > LONGEST:
            self._lost = True
            buffer.clear()
        else:
            buffer += data

    def _line(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._keep(self._data, line[5:].removeprefix(b" ") + b"\n")
        elif not line and self._data:
            self._event(bytes(self._data))
            self._data.clear()

    def _event(self, data: bytes) -> None:
        if self.is_stream and data.strip() == b"[DONE]":
            self.complete = True
            return
        try:
            found = EVENTS.decode(data)
        except msgspec.ValidationError:
            self._lost = True  # JSON, but not of a form that we know: what it says of tokens is unknown
            return
        except NO_JSON:
            return
        for event in found if isinstance(found, tuple) else (found,):
            inner = event.message or event.response
            self.model = event.model_version or event.model or (inner and inner.model) or self.model
            usage = event.usage or event.usage_metadata or (inner and inner.usage)
            if usage and event.type == "message_start":
                usage.output_tokens = None  # it says 1; the count comes at the end
            if usage:
                known = {name: value for name in usage.__struct_fields__ if (value := getattr(usage, name)) is not None}
                self._usage = msgspec.structs.replace(self._usage, **known)
            finished = usage is not None and any(candidate.finish_reason for candidate in event.candidates or ())
            self.complete = self.complete or finished or event.type in LAST_EVENTS


def _used(told: _Usage) -> Usage:
    """One meaning for all APIs: input with what was cached, output with what was thought."""
    if told.prompt_token_count is not None:  # Gemini leaves out what is zero
        return Usage(
            input_tokens=told.prompt_token_count + (told.tool_token_count or 0),
            output_tokens=(told.candidates_token_count or 0) + (told.thoughts_token_count or 0),
            cached_tokens=told.cached_token_count or 0,
        )
    if told.prompt_tokens is not None:
        details = told.prompt_tokens_details
        return Usage(
            input_tokens=told.prompt_tokens,
            output_tokens=told.completion_tokens,
            cached_tokens=details.cached_tokens if details else None,
        )
    if told.input_tokens is None:
        return Usage(output_tokens=told.output_tokens)
    details, read = told.input_tokens_details, told.cache_read_input_tokens
    return Usage(
        input_tokens=told.input_tokens + (told.cache_creation_input_tokens or 0) + (read or 0),
        output_tokens=told.output_tokens,
        cached_tokens=details.cached_tokens if details and read is None else read,
    )


class Exchange(msgspec.Struct, kw_only=True):
    """A line of the transcript: what was asked and used, never what was said.

    Times in milliseconds, `at_ms` since the proxy was opened. `status` 0: there was no answer; `ended`: why it is not
    whole. None is unknown.
    """

    at_ms: int
    method: str
    path: str
    model: str = ""
    status: int = 0
    ended: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    request_bytes: int = 0
    answer_bytes: int = 0
    milliseconds: int = 0


class Tally:
    """Adds up. Safe to use from many threads."""

    def __init__(self, prices: Mapping[str, Price], limit_usd: float | None) -> None:
        self._prices, self._limit = prices, limit_usd
        self._changed = threading.Condition()
        self._seen = self._under_way = 0
        self._used: list[Usage] = []

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While a request is being answered."""
        with self._changed:
            self._seen += 1
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def add(self, used: Usage, *models: str) -> Usage:
        """Count a paid answer, priced by the first of `models` that has a price: who gave it, who was asked for it."""
        model = next((model for model in models if price_of(model, self._prices)), "")
        usage = priced(used, model, self._prices)
        with self._changed:
            self._used.append(usage)
        return usage

    @property
    def spent_usd(self) -> float:
        """The known part of the cost, US dollars: no less has been spent."""
        with self._changed:
            return math.fsum(usage.cost_usd or 0.0 for usage in self._used)

    @property
    def over(self) -> bool:
        """Whether the known cost is over the limit."""
        return self._limit is not None and self.spent_usd > self._limit

    @property
    def usage(self) -> Usage:
        """The sum; what is unknown of one answer is unknown of all. Waits for answers under way, at most 2 s.

        Without a single request nothing is known: the agent may have gone to its provider past us.
        """
        with self._changed:
            settled = self._changed.wait_for(lambda: not self._under_way, ENDS_SOON)
            used = [*self._used, *([] if settled and self._seen else [Usage()])]
        counts = {name: _total(used, name) for name in ("input_tokens", "output_tokens", "cached_tokens")}
        cost = _total(used, "cost_usd", math.fsum)  # exact, so that the order in which answers ended does not matter
        return Usage(**counts, cost_usd=cost, cost_source="unknown" if cost is None else "metered")


def _total(used: Sequence[Usage], name: str, add: Callable[[list[Any]], Any] = sum) -> Any:
    values = [getattr(usage, name) for usage in used]
    return None if None in values else add(values)


class Account:
    """Adds one answer to the tally, once; before the agent sees its end, so that its next request finds it there."""

    def __init__(self, tally: Tally, asked: Question, line: Exchange) -> None:
        """`line` receives what is found out."""
        self._tally, self._asked, self._line = tally, asked, line
        self._length: int | None = None
        self._counter = Counter("")
        self._open = asked.paid

    def head(self, status: int, length: int | None, content_type: str) -> Unasked | None:
        """The answer begins; `length`: its bytes, if they are known. Errors and redirections cost nothing.

        Returns what keeps from the agent what only we have asked for.
        """
        self._line.status = status
        self._length = length
        self._counter = Counter(content_type)
        self._open = self._open and 200 <= status < 300
        return Unasked() if self._asked.usage_added and self._counter.is_stream else None

    def take(self, piece: bytes) -> None:
        """The next piece of the body."""
        self._line.answer_bytes += len(piece)
        if not self._open:
            return
        self._counter.feed(piece)
        whole = self._line.answer_bytes == self._length
        if whole or self._counter.complete:
            self.settle(whole=whole)

    def settle(self, *, whole: bool) -> None:
        """The answer has ended; `whole`: it was not broken off. One that has to be paid all the same is unknown."""
        if not self._open:
            return
        self._open = False
        usage = self._tally.add(self._counter.counted(whole=whole), self._counter.model, self._asked.model)
        line = self._line
        line.model = self._counter.model or line.model
        line.input_tokens, line.output_tokens = usage.input_tokens, usage.output_tokens
        line.cached_tokens, line.cost_usd = usage.cached_tokens, usage.cost_usd
