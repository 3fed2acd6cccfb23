"""What keys, tokens and passwords look like: the well-known formats, and assignments of random text to telling names.

A format is looked for wherever it may stand, binary files included; an assignment only in a line of text.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import log2

from branchline.core.rules.linear import compiled, linear
from branchline.errors import InvalidInput

LONGEST = 8192  # bytes of a match, at most
MOST = 10_000  # of a text that are told apart; each costs its time
KNOWN = "value of a secret variable"
PICTURE = "picture of a key"
"""Such as `ghp_xxxx...` or Amazon's own AKIA...EXAMPLE."""
GUESSED = "value of a secret's name"
_LONGEST_VALUE = 500  # bytes of a password
_LONGEST_LINE = 4096  # bytes; a longer one is no source that people write

_B64, _WORD = rb"[A-Za-z0-9+/]", rb"[A-Za-z0-9_-]"
_END = rb"(?:[^A-Za-z0-9_-]|\z)"
_GAP = rb"(?:\\r|\\n|[\s\"',+])+"

# kind, and the pattern of a key; where `_END` follows, more of the like may not. RE2 unrolls what is counted.
_FORMATS: tuple[tuple[str, bytes], ...] = (
    ("AWS access key", rb"(A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16})" + _END),
    ("GitHub token", rb"(gh[pousr]_[A-Za-z0-9]{36,})" + _END),
    ("GitHub token", rb"(github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})" + _END),
    ("GitLab token", rb"(glpat-[A-Za-z0-9_.-]{20,})"),
    ("GitLab token", rb"(gl(?:dt|rt|ptt|soat)-[A-Za-z0-9_-]{20,})" + _END),
    ("Slack token", rb"(xox[abeoprs]-(?:\d-)?[A-Za-z0-9-]{20,})" + _END),
    ("Slack token", rb"(xapp-\d-[A-Z0-9]{8,20}-\d{8,20}-[a-z0-9]{32,})" + _END),
    ("Slack web hook", rb"(hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,})"),
    ("Google API key", rb"(AIza" + _WORD + rb"{35})" + _END),
    ("Google OAuth secret", rb"(GOCSPX-" + _WORD + rb"{28})" + _END),
    ("Google OAuth token", rb"(ya29\.[A-Za-z0-9_.-]{40,})"),
    ("Stripe key", rb"([sr]k_(?:live|test)_[A-Za-z0-9]{16,})" + _END),
    ("Stripe web hook secret", rb"(whsec_[A-Za-z0-9+/]{32,}={0,2})" + _END),
    ("Anthropic key", rb"(sk-ant-" + _WORD + rb"{20,})"),
    ("OpenAI key", rb"(sk-(?:proj|svcacct|admin)-" + _WORD + rb"{20,})"),
    ("API key", rb"(sk-(?:or-v1-)?[A-Za-z0-9]{32,})" + _END),
    ("Groq key", rb"(gsk_[A-Za-z0-9]{40,})" + _END),
    ("xAI key", rb"(xai-[A-Za-z0-9]{70,})" + _END),
    ("Hugging Face token", rb"(hf_[A-Za-z0-9]{34,40})" + _END),
    ("npm token", rb"(npm_[A-Za-z0-9]{36})" + _END),
    ("PyPI token", rb"(pypi-AgE" + _WORD + rb"{50,})"),
    ("RubyGems key", rb"(rubygems_[0-9a-f]{48})" + _END),
    ("Docker token", rb"(dckr_[po]at_" + _WORD + rb"{27,})"),
    ("SendGrid key", rb"(SG\." + _WORD + rb"{22}\." + _WORD + rb"{43})" + _END),
    ("Shopify token", rb"(shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32})" + _END),
    ("DigitalOcean token", rb"(do[opr]_v1_[0-9a-f]{64})" + _END),
    ("Databricks token", rb"(dapi[0-9a-f]{32})" + _END),
    ("Linear key", rb"(lin_api_[A-Za-z0-9]{40})" + _END),
    ("Vault token", rb"(hv[sb]\." + _WORD + rb"{24,})"),
    ("Atlassian token", rb"(ATATT3[A-Za-z0-9_=-]{50,})"),
    ("Grafana token", rb"(glsa_[A-Za-z0-9]{32}_[0-9a-f]{8})" + _END),
    ("Azure storage key", rb"(AccountKey=" + _B64 + rb"{86}==)"),
    ("age key", rb"(AGE-SECRET-KEY-1[0-9A-Z]{58})"),
    ("Telegram token", rb"(\d{8,12}:AA" + _WORD + rb"{33})" + _END),
    ("JSON web token", rb"(eyJ" + _WORD + rb"{15,}\.eyJ" + _WORD + rb"{15,}\." + _WORD + rb"{20,})"),
    (
        "private key",
        rb"(-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        + _GAP + rb"(?:[A-Z][A-Za-z-]+:[^\n\\]*" + _GAP + rb"){0,4}"
        + _B64 + rb"{40}(?:[A-Za-z0-9+/=\s\"',]|\\n|\\r)*)",
    ),
)  # fmt: skip
# the character before it is no letter; each kind is a group of its own
_KIND = rb"(?:\A|[^A-Za-z])(?:" + b"|".join(pattern for _, pattern in _FORMATS) + b")"
_ANY = _KIND.replace(b"(?:", b"(").replace(b"(", b"(?:")  # without a group, it is found several times as fast

_VALUE = rb"[A-Za-z0-9+/=_.~!@#$%^&*-]{16,}"
_ASSIGNED = (
    rb"(?im)(?:secret|token|passw|passphrase|credential|(?:api|access|auth|private|signing|encryption)[_-]?key)"
    rb"[\w-]{0,40}[\"'\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}"
    rb"(?:\"(" + _VALUE + rb")\"|'(" + _VALUE + rb")'|`(" + _VALUE + rb")`"
    rb"|([A-Za-z0-9+/=_~-]{20,})[ \t]*[;,]?[ \t]*(?:(?:#|//)[^\n]*)?(?:\r?$|\\n))"
)
_URL = rb"://[^\s:/@\"'<>]{1,100}:([^\s:/@\"'<>{}]{12,200})@"
_PLACEHOLDER = compiled(
    rb"(?i)example|placeholder|change.?me|your[_-]|dummy|redacted|insert|x{5}|0123456789|1234567890|abcdefgh|<|\$\{|\{\{"
)
_UUID = compiled(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Match:
    """Where a secret stands in some bytes, and what it is."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret: its line, counted from 1, its kind, and its value, which must never be shown."""

    line: int
    kind: str
    value: bytes


def candidates(data: bytes) -> Iterator[Match]:
    """Everything that has the form of a well-known key, in order, and mere pictures of keys, because each costs its time.

    No more than the first LONGEST bytes of each.
    """
    at = 0
    while somewhere := linear(_ANY).search(data, at):
        start = somewhere.start()
        at = min(somewhere.end(), start + LONGEST)
        if found := linear(_KIND).match(data, start, at):
            start, at = found.span(found.lastindex)
            key = data[start:at]
            is_picture = len(set(key)) <= 12 or key.endswith(b"EXAMPLE")
            yield Match(start, at, PICTURE if is_picture else _FORMATS[found.lastindex - 1][0])


def assignments(text: bytes) -> Iterator[Match]:
    """Random text that is assigned to the name of a secret, and passwords in URLs."""
    for pattern, kind in ((_ASSIGNED, GUESSED), (_URL, "password in a URL")):
        at = 0
        while found := linear(pattern).search(text, at):
            start, end = found.span(found.lastindex)
            at = start
            if end - start <= _LONGEST_VALUE and looks_random(text[start:end]):
                at = end
                yield Match(start, end, kind)


def looks_random(value: bytes) -> bool:
    """Whether text seems to be made by chance, not by a person: no words, no path, no sequence, no UUID."""
    runs = len(compiled(rb"[0-9]+").findall(value))
    if runs < 2 or _PLACEHOLDER.search(value) or _UUID.fullmatch(value) or not compiled(rb"[A-Za-z]").search(value):
        return False
    if compiled(rb"[0-9a-f]+|[0-9A-F]+").fullmatch(value):
        return len(value) >= 32 and entropy(value) >= 3.0
    words = compiled(rb"[a-z]{5,}|[A-Z]{5,}|[A-Z][a-z]{4,}").findall(value)
    return entropy(value) >= 3.3 and 2 * sum(map(len, words)) < len(value)


def entropy(value: bytes) -> float:
    """Shannon's entropy, in bits a byte."""
    counts = [value.count(byte) for byte in set(value)]
    return -sum(count / len(value) * log2(count / len(value)) for count in counts)


def findings(data: bytes, known: Iterable[bytes] = ()) -> list[Finding]:
    """The secrets in a file's content, in order; `known` are values that are secret wherever they stand.

    Nothing that the text says of itself excuses it: it is text of the agent's. Raises InvalidInput if there is too much of
    it to be told apart.
    """
    found = [Match(at, at + len(value), KNOWN) for value in known for at in _places(data, value)]
    lookalikes = list(islice(candidates(data), MOST))
    if b"\0" not in data[:8000]:
        # Every long line is blanked out: what generated it is not a person, and each costs its time.
        lines = (line if len(line) <= _LONGEST_LINE else b" " * len(line) for line in data.split(b"\n"))
        lookalikes += islice(assignments(b"\n".join(lines)), MOST)
    if len(lookalikes) >= MOST:
        raise InvalidInput(f"it cannot be looked through for secrets: {MOST} things or more look like one")
    found += [match for match in lookalikes if match.kind != PICTURE]
    return list(_told(data, sorted(found, key=lambda match: (match.start, -match.end))))


def _told(data: bytes, matches: Iterable[Match]) -> Iterator[Finding]:
    """The matches by line, in order; one that lies in another tells nothing more."""
    line, counted, end = 1, 0, 0
    for match in matches:
        line += data.count(b"\n", counted, match.start)
        counted = match.start
        if match.start >= end:
            yield Finding(line, match.kind, data[match.start : match.end])
            end = match.end


def _places(data: bytes, value: bytes) -> Iterator[int]:
    at = data.find(value)
    while at >= 0:
        yield at
        at = data.find(value, at + len(value))
