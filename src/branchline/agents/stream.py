"""What the readers of all agents share: decoding a line, and keeping what a stream has told within bounds."""

from typing import Any, TypeVar

import msgspec

from branchline.core.model.agent import AgentResult, AgentStatus, CostSource, Progress, Usage
from branchline.core.rules.linear import compiled
from branchline.process.output import CONTROL, last_line, readable
from branchline.process.spawn import Exit

MOST = 1000  # files and denials that are kept
LAST_WORDS = 1 << 20  # bytes that are kept of a text: an answer by a schema may stand there
ON_A_LINE = 200  # characters of what it is doing
NO_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)

Decoded = TypeVar("Decoded")
# What is more exact comes first, and what may stand in any sentence last.
CLASSES = (
    (
        "context_too_large",
        r"context.{0,20}(length|window|size)|prompt is too long|too many tokens|maximum context",
        r"input.?(is.?)?too.?(large|long)|request.?too.?large|token count.{0,30}exceeds",
    ),
    (
        "billing",
        r"insufficient.?quota|credit balance|billing|payment required|exceeded your current quota|usage limit",
        r"budgetexceeded",
    ),
    (
        "auth",
        r"\b401\b|\b403\b|unauthori[sz]ed|authenticat|auth (method|type)|not logged in|please run /login",
        r"(invalid|missing).{0,40}(api.?key|credentials)|api.?key.{0,40}(invalid|missing|not |must be)",
        r"token.{0,20}(expired|revoked)|permission.?denied(error|.{0,20}key)|missing environment variable",
        r"(requires an?|proceed without).{0,60}api.?key",
    ),
    (
        "unknown_model",
        r"model.{0,60}(not.?found|(does|may) not exist|unknown|not supported)|unknown.?model",
        r"provider not provided|notfounderror",
    ),
    ("rate_limit", r"\b429\b|rate.?limit|too many requests|resource.?exhausted"),
    ("overloaded", r"\b529\b|overloaded|\b503\b|service.?unavailable|high demand"),
    (
        "connection",
        r"connection.{0,12}(error|fail|refused|reset|closed|aborted|lost|timed)|unable to connect|econn|\benotfound\b",
        r"error sending request|fetch failed|stream (closed|disconnected|ended)|incomplete json",
    ),
    ("server_error", r"\b50[0-24]\b|internal.?server.?error|api_error|\.apierror|bad.?gateway|server_error"),
    ("bad_request", r"\b400\b|\b422\b|bad.?request|invalid.?request|unprocessable|unsupportedparams"),
    ("connection", r"network|timed? ?out"),
)
STATUS = {401: "auth", 402: "billing", 403: "auth", 404: "unknown_model", 413: "context_too_large", 429: "rate_limit"}


def decoded(data: bytes | str, decoder: msgspec.json.Decoder[Decoded]) -> Decoded | None:
    """What stands in a line; None if it is not JSON, or not of the decoder's type."""
    try:
        return decoder.decode(data)
    except NO_JSON:
        return None


def members(value: object) -> dict[str, Any]:
    """A JSON object as it is; none of anything else."""
    return value if isinstance(value, dict) else {}


class StreamReader:
    """A reader's memory. Each agent adds its own `line` and `result`, and fills in what is declared here.

    Messages and notes are kept whole, since an answer by a schema may stand in them: the supervisor cuts them.
    """

    def __init__(self, worktree: str = "", model: str = "") -> None:
        """`worktree`: absolute; paths inside it are shown relative to it. `model`: the one that is asked for."""
        self._inside = worktree.rstrip("/") + "/"
        self._model = model
        self._doing = self._session = self._notes = ""
        self._structured: Any = None
        self._usage = Usage()
        self._files: dict[str, None] = {}
        self._denials: dict[str, None] = {}  # in the order in which they came, once each
        self._text = bytearray()  # the end of what is no event

    @property
    def progress(self) -> Progress:
        """Its last tool, the files that it has changed, and what it has used, as far as the stream has told."""
        used = self._usage
        counts = [count for count in (used.input_tokens, used.output_tokens) if count is not None]
        tokens = sum(counts) if counts else None
        return Progress(doing=self._doing, files=tuple(self._files), tokens=tokens, cost_usd=used.cost_usd)

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._inside)

    def _did(self, words: str) -> None:
        self._doing = one_line(words)

    def _changed(self, *paths: str) -> None:
        self._files |= dict.fromkeys(map(self._relative, paths[: MOST - len(self._files)]))

    def _denied(self, words: str) -> None:
        if len(self._denials) < MOST:
            self._denials[one_line(words)] = None

    def _note(self, line: bytes) -> None:
        self._text += line[-LAST_WORDS:] + b"\n"
        if len(self._text) > 2 * LAST_WORDS:
            del self._text[:-LAST_WORDS]

    def _noted(self) -> str:
        """The end of the text."""
        return readable(bytes(self._text[-LAST_WORDS:])).strip()

    def _add(self, **counts: int) -> None:
        """Add to the tokens used."""
        sums = {name: (getattr(self._usage, name) or 0) + count for name, count in counts.items()}
        self._usage = msgspec.structs.replace(self._usage, **sums)

    def _made(self, status: AgentStatus, message: str = "", error_class: str = "") -> AgentResult:
        source: CostSource = "unknown" if self._usage.cost_usd is None else "agent"
        return AgentResult(
            status=status,
            message=CONTROL.sub("", message),
            error_class=error_class,
            notes=CONTROL.sub("", self._notes),
            usage=msgspec.structs.replace(self._usage, cost_source=source),
            model=one_line(self._model),
            session_id=one_line(self._session),
            structured=self._structured,
            denials=tuple(self._denials),
        )

    def _without_result(self, ended: Exit, stderr: bytes, words: str = "") -> AgentResult:
        """The stream has no end of its own: a crash, or no stream at all. `words`: what is known of the reason."""
        status = AgentStatus.INVALID_OUTPUT if ended.ok else AgentStatus.CRASHED
        return self._made(status, words or last_line(stderr) or "its stream ends without a result")


def one_line(text: str) -> str:
    """A text for the live line: short, without control sequences."""
    return " ".join(CONTROL.sub("", text).split())[:ON_A_LINE]


def error_class(text: str, status: int | None = None) -> str:
    """The class of an error from its HTTP status, if one is known, and its words; empty if neither tells.

    The words come first where they are more exact: a 429 may be a quota that does not come back by waiting, a 400 a full context.
    """
    lowered = text[:4000].lower()
    told = (name for name, *patterns in CLASSES if any(compiled(pattern).search(lowered) for pattern in patterns))
    found = next(told, "")
    if status is None or found in {"context_too_large", "billing"}:
        return found
    if status in STATUS:
        return STATUS[status]
    if status >= 500:
        return "overloaded" if status in {503, 529} else "server_error"
    return found or ("bad_request" if status >= 400 else "")
