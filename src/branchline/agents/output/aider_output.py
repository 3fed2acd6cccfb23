"""Reading what Aider prints.

It is text, the model's own among it. What tells the two apart: after each answer Aider prints a line of tokens. So
whatever looks like an error and is followed by such a line was the model's, or was mended by another request.
"""

import re

import msgspec

from branchline.agents.output.faults import error_class
from branchline.agents.output.stream import LAST_WORDS, StreamReader
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

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
MORE_EXACT = frozenset({"billing", "connection", "context_too_large", "unknown_model"})
"""The classes for which the words of an error count before its name."""


class AiderReader(StreamReader):
    """The exit code is 0 also when the key is wrong and when no edit fitted."""

    def __init__(self, worktree: str, model: str = "") -> None:
        super().__init__(worktree, model)
        self._answered = False
        # What was last seen after the last answer; `_full` is what was too large, context or answer.
        self._error = self._malformed = self._full = ""

    def line(self, data: bytes) -> None:
        """Take a line of its text in."""
        text = readable(data[:LAST_WORDS]).rstrip()
        if found := TOKENS.fullmatch(text):
            self._answered, self._notes = True, self._noted()
            self._error = self._malformed = self._full = ""
            self._text.clear()
            self._add(
                input_tokens=_count(found["sent"]),
                output_tokens=_count(found["received"]),
                cached_tokens=_count(found["hit"] or "0"),
            )
            if cost := COST.fullmatch(found["cost"] or ""):
                self._cost(cost)
        elif found := COST.fullmatch(text):
            self._cost(found)
        else:
            self._told(text)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What happened after the last answer; without any answer, the last line."""
        if self._error:
            found = ERROR.match(self._error)
            words, named = error_class(self._error), error_class(found[0]) if found else ""
            kind = words if words in MORE_EXACT else named or words
            refused = found is not None and found["name"] == "ContentPolicyViolation"
            status = AgentStatus.REFUSED if refused else AgentStatus.MODEL_ERROR
            return self._made(status, self._error, "" if refused else kind)
        if self._full == "answer":
            return self._made(AgentStatus.LIMIT, "the model's answer was longer than it may be")
        if self._full:
            words = "the context is too large for the model"
            return self._made(AgentStatus.MODEL_ERROR, words, "context_too_large")
        if self._malformed:
            return self._made(AgentStatus.INVALID_OUTPUT, f"its edits fitted no file: {self._malformed}")
        if self._answered:
            return self._made(AgentStatus.OK)
        words = last_line(stderr) or last_line(bytes(self._text))
        return self._without_result(ended, stderr, f"it gave no answer: {words}" if ended.ok else words)

    def _cost(self, found: re.Match[str]) -> None:
        self._usage = msgspec.structs.replace(self._usage, cost_usd=float(found["session"]))

    def _told(self, text: str) -> None:
        if HEADER.match(text):
            self._text.clear()
        elif found := APPLIED.fullmatch(text):
            self._did(f"edit {found['path']}")
            self._changed(found["path"])
            self._text.clear()
        elif RETRY.match(text):
            self._did(f"{text} {self._error}")
        elif ERROR.match(text) or OTHER_ERROR.match(text):
            self._error = text
        elif FULL.match(text):
            self._full = "context"
        elif self._full and LONG_ANSWER in text:
            self._full = "answer"
        elif text == MALFORMED or BROKEN.match(text):
            self._malformed = text
        else:
            self._note(text.encode())


def _count(text: str) -> int:
    """Tokens as Aider rounds them: `42`, `2.2k`, `15k`."""
    number, thousands, _ = text.partition("k")
    return round(float(number) * (1000 if thousands else 1))
