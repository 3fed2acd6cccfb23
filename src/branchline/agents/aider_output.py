"""Reading what Aider prints.

It is text, the model's own among it. What tells the two apart: after each answer Aider prints a line of tokens. So
whatever looks like an error and is followed by such a line was the model's, or was mended by another request.
"""

import re
from collections import deque

import msgspec

from branchline.agents.answer import answer_in
from branchline.agents.faults import error_class
from branchline.core.agent import AgentRequest, AgentResult, AgentStatus, Progress, Usage
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

NOTES = 20_000  # characters
LONGEST = 1 << 20  # bytes of a line, and characters of an answer: a plan may be long
MESSAGE = 1000  # characters
WORDS = 200  # characters on the live line
MOST_FILES = 1000
NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
TOKENS = re.compile(
    rf"Tokens: (?P<sent>{NUMBER}k?) sent(?:, {NUMBER}k? cache write)?(?:, (?P<hit>{NUMBER}k?) cache hit)?"
    rf", (?P<received>{NUMBER}k?) received\.(?: (?P<cost>Cost: .+))?"
)
COST = re.compile(rf"Cost: \${NUMBER} message, \$(?P<session>{NUMBER}) session\.")
HEADER = re.compile(r"Repo-map: |Added .+ to the chat")
APPLIED = re.compile(r"Applied edit to (?P<path>.+)")
RETRY = re.compile(r"Retrying in [\d.]+ seconds")
ERROR = re.compile(r"litellm\.(?P<name>\w+?)(?:Error)?: ")
OTHER_ERROR = re.compile(
    r"The specified model .+ requires an? .*API key|Unable to proceed without|Empty response received"
)
MALFORMED = "The LLM did not conform to the edit format."
BROKEN = re.compile(r"# \d+ SEARCH/REPLACE blocks? failed|Exception while updating files")
FULL = re.compile(r"Model .+ has hit a token limit!")
LONG_ANSWER = "possibly exceeded output limit!"
NO_PROVIDER = "LLM Provider NOT provided"  # litellm cannot tell whose model it is
CLASSES = {
    "Authentication": "auth",
    "PermissionDenied": "auth",
    "RateLimit": "rate_limit",
    "RouterRateLimit": "rate_limit",
    "ServiceUnavailable": "overloaded",
    "InternalServer": "server_error",
    "BadGateway": "server_error",
    "API": "server_error",
    "APIConnection": "connection",
    "Timeout": "connection",
    "NotFound": "unknown_model",
    "BudgetExceeded": "billing",
    "ContextWindowExceeded": "context_too_large",
    "BadRequest": "bad_request",
    "UnprocessableEntity": "bad_request",
    "UnsupportedParams": "bad_request",
}
MORE_EXACT = frozenset({"billing", "connection", "context_too_large", "unknown_model"})


class AiderReader:
    """The exit code is 0 also when the key is wrong and when no edit fitted."""

    def __init__(self, request: AgentRequest, model: str = "") -> None:
        self._request, self._model = request, model
        self._said: deque[str] = deque()  # lines since the last answer ended, the last LONGEST characters of them
        self._size = 0
        self._answered = False
        # What was last seen after the last answer; `_full` is what was too large, context or answer.
        self._answer = self._doing = self._error = self._malformed = self._full = ""
        self._files: dict[str, None] = {}
        self._usage = Usage()

    @property
    def progress(self) -> Progress:
        """The last edit, or what it waits for."""
        usage = self._usage
        tokens = None if usage.input_tokens is None else usage.input_tokens + (usage.output_tokens or 0)
        return Progress(doing=self._doing, files=tuple(self._files), tokens=tokens, cost_usd=usage.cost_usd)

    def line(self, data: bytes) -> None:
        """Take a line of its text in."""
        text = readable(data[:LONGEST]).rstrip()
        if found := TOKENS.fullmatch(text):
            self._answer_ended(found)
        elif found := COST.fullmatch(text):
            self._cost(found)
        else:
            self._words(text)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What happened after the last answer; without any answer, the last line."""
        if self._error:
            return self._failed()
        if self._full:
            return self._too_large()
        if self._malformed:
            return self._made(AgentStatus.INVALID_OUTPUT, f"its edits fitted no file: {self._malformed}")
        if self._answered:
            return self._made(AgentStatus.OK)
        words = last_line(stderr) or next(filter(None, reversed(self._said)), "")
        if ended.ok:
            return self._made(AgentStatus.INVALID_OUTPUT, f"it gave no answer: {words}")
        return self._made(AgentStatus.CRASHED, words or f"exit code {ended.code}")

    def _answer_ended(self, found: re.Match[str]) -> None:
        self._answered, self._answer = True, "\n".join(self._said).strip()
        self._error = self._malformed = self._full = ""
        self._forget()
        usage = self._usage
        self._usage = msgspec.structs.replace(
            usage,
            input_tokens=(usage.input_tokens or 0) + _count(found["sent"]),
            output_tokens=(usage.output_tokens or 0) + _count(found["received"]),
            cached_tokens=(usage.cached_tokens or 0) + _count(found["hit"] or "0"),
        )
        if cost := COST.fullmatch(found["cost"] or ""):
            self._cost(cost)

    def _cost(self, found: re.Match[str]) -> None:
        self._usage = msgspec.structs.replace(self._usage, cost_usd=float(found["session"]), cost_source="agent")

    def _words(self, text: str) -> None:
        if HEADER.match(text):
            self._forget()
        elif found := APPLIED.fullmatch(text):
            self._doing = f"edit {found['path']}"[:WORDS]
            if len(self._files) < MOST_FILES:
                self._files[found["path"]] = None
            self._forget()
        elif RETRY.match(text):
            self._doing = f"{text} {self._error}"[:WORDS]
        elif ERROR.match(text) or OTHER_ERROR.match(text):
            self._error = text[:MESSAGE]
        elif FULL.match(text):
            self._full = "context"
        elif self._full and LONG_ANSWER in text:
            self._full = "answer"
        elif text == MALFORMED or BROKEN.match(text):
            self._malformed = text
        else:
            self._remember(text)

    def _remember(self, text: str) -> None:
        self._said.append(text)
        self._size += len(self._said[-1]) + 1
        while self._size > LONGEST and len(self._said) > 1:
            self._size -= len(self._said.popleft()) + 1

    def _forget(self) -> None:
        self._said.clear()
        self._size = 0

    def _failed(self) -> AgentResult:
        found = ERROR.match(self._error)
        name = found["name"] if found else ""
        if name == "ContentPolicyViolation":
            return self._made(AgentStatus.REFUSED, self._error)
        if name == "":
            return self._made(AgentStatus.MODEL_ERROR, self._error, "auth" if "API key" in self._error else "")
        words = "unknown_model" if NO_PROVIDER in self._error else error_class(self._error)
        kind = words if words in MORE_EXACT else CLASSES.get(name, words)
        return self._made(AgentStatus.MODEL_ERROR, self._error, kind)

    def _too_large(self) -> AgentResult:
        if self._full == "answer":
            return self._made(AgentStatus.LIMIT, "the model's answer was longer than it may be")
        return self._made(AgentStatus.MODEL_ERROR, "the context is too large for the model", "context_too_large")

    def _made(self, status: AgentStatus, message: str = "", kind: str = "") -> AgentResult:
        return AgentResult(
            status=status,
            message=message,
            error_class=kind,
            notes=self._answer[-NOTES:],
            usage=self._usage,
            model=self._model,
            structured=None if self._request.output_schema is None else answer_in(self._answer),
        )


def _count(text: str) -> int:
    """Tokens as Aider rounds them: `42`, `2.2k`, `15k`."""
    number, thousands, _ = text.partition("k")
    return round(float(number) * (1000 if thousands else 1))
