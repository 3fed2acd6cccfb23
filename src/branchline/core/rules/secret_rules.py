"""What keys, tokens and passwords look like: the well-known formats, and assignments of random text to telling names.

A format is looked for wherever it may stand, binary files included; an assignment only in a line of text.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log2

LONGEST = 8192  # bytes of a match, at most
KNOWN = "value of a secret variable"
GUESSED = "value of a secret's name"
PRAGMAS = (b"pragma: allowlist secret", b"gitleaks:allow")
_LONGEST_LINE = 4096  # bytes; a longer one is no source that people write

_B64, _WORD = rb"[A-Za-z0-9+/]", rb"[A-Za-z0-9_-]"
_END = rb"(?![A-Za-z0-9_-])"
_BODY = rb"(?:\\r|\\n|[\s\"',+])++(?:[A-Z][A-Za-z-]+:[^\n\\]{0,200}(?:\\r|\\n|[\s\"',+])+){0,4}"

# kind, the words of which one begins every match, and the pattern
_FORMATS: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = (
    ("AWS access key", (b"AKIA", b"ASIA", b"ABIA", b"ACCA"), rb"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}" + _END),
    ("GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"gh[pousr]_[A-Za-z0-9]{36,255}" + _END),
    ("GitHub token", (b"github_pat_",), rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}" + _END),
    ("GitLab token", (b"glpat-",), rb"glpat-[A-Za-z0-9_.-]{20,300}"),
    ("GitLab token", (b"gldt-", b"glrt-", b"glptt-", b"glsoat-"), rb"gl(?:dt|rt|ptt|soat)-[A-Za-z0-9_-]{20,60}" + _END),
    ("Slack token", (b"xox",), rb"xox[abeoprs]-(?:\d-)?[A-Za-z0-9-]{20,250}" + _END),
    ("Slack token", (b"xapp-",), rb"xapp-\d-[A-Z0-9]{8,20}-\d{8,20}-[a-z0-9]{32,80}" + _END),
    ("Slack web hook", (b"hooks.slack.com/",), rb"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,60}"),
    ("Google API key", (b"AIza",), rb"AIza" + _WORD + rb"{35}" + _END),
    ("Google OAuth secret", (b"GOCSPX-",), rb"GOCSPX-" + _WORD + rb"{28}" + _END),
    ("Google OAuth token", (b"ya29.",), rb"ya29\.[A-Za-z0-9_.-]{40,400}"),
    ("Stripe key", (b"sk_live_", b"sk_test_", b"rk_live_", b"rk_test_"), rb"[sr]k_(?:live|test)_[A-Za-z0-9]{16,200}" + _END),
    ("Stripe web hook secret", (b"whsec_",), rb"whsec_[A-Za-z0-9+/]{32,80}={0,2}" + _END),
    ("Anthropic key", (b"sk-ant-",), rb"sk-ant-" + _WORD + rb"{20,200}"),
    ("OpenAI key", (b"sk-proj-", b"sk-svcacct-", b"sk-admin-"), rb"sk-(?:proj|svcacct|admin)-" + _WORD + rb"{20,300}"),
    ("API key", (b"sk-",), rb"sk-(?:or-v1-)?[A-Za-z0-9]{32,100}" + _END),
    ("Groq key", (b"gsk_",), rb"gsk_[A-Za-z0-9]{40,80}" + _END),
    ("xAI key", (b"xai-",), rb"xai-[A-Za-z0-9]{70,100}" + _END),
    ("Hugging Face token", (b"hf_",), rb"hf_[A-Za-z0-9]{34,40}" + _END),
    ("npm token", (b"npm_",), rb"npm_[A-Za-z0-9]{36}" + _END),
    ("PyPI token", (b"pypi-AgE",), rb"pypi-AgE" + _WORD + rb"{50,400}"),
    ("RubyGems key", (b"rubygems_",), rb"rubygems_[0-9a-f]{48}" + _END),
    ("Docker token", (b"dckr_",), rb"dckr_[po]at_" + _WORD + rb"{27,80}"),
    ("SendGrid key", (b"SG.",), rb"SG\." + _WORD + rb"{22}\." + _WORD + rb"{43}" + _END),
    ("Shopify token", (b"shpat_", b"shpca_", b"shppa_", b"shpss_"), rb"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}" + _END),
    ("DigitalOcean token", (b"dop_v1_", b"doo_v1_", b"dor_v1_"), rb"do[opr]_v1_[0-9a-f]{64}" + _END),
    ("Databricks token", (b"dapi",), rb"dapi[0-9a-f]{32}" + _END),
    ("Linear key", (b"lin_api_",), rb"lin_api_[A-Za-z0-9]{40}" + _END),
    ("Vault token", (b"hvs.", b"hvb."), rb"hv[sb]\." + _WORD + rb"{24,300}"),
    ("Atlassian token", (b"ATATT3",), rb"ATATT3[A-Za-z0-9_=-]{50,300}"),
    ("Grafana token", (b"glsa_",), rb"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}" + _END),
    ("Azure storage key", (b"AccountKey=",), rb"AccountKey=" + _B64 + rb"{86}=="),
    ("age key", (b"AGE-SECRET-KEY-1",), rb"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    ("Telegram token", (b":AA",), rb"(?<=\d{8}):AA" + _WORD + rb"{33}" + _END),
    ("JSON web token", (b"eyJ",), rb"eyJ" + _WORD + rb"{15,2000}+\.eyJ" + _WORD + rb"{15,4000}+\." + _WORD + rb"{20,1000}"),
    (
        "private key",
        (b"-----BEGIN ",),
        rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        + _BODY + _B64 + rb"{40}(?:[A-Za-z0-9+/=\s\"',]|\\n|\\r){0,7000}",
    ),
)  # fmt: skip
FORMATS = tuple((kind, words, re.compile(pattern)) for kind, words, pattern in _FORMATS)

_NAMES = (b"secret", b"token", b"passw", b"passphrase", b"credential", b"key")
_KEY_OF = re.compile(rb"(?i)(?:api|access|auth|private|signing|encryption)[_-]?$")
_ASSIGNED = re.compile(
    rb"[\w-]{0,40}[\"'\]]{0,2}[ \t]{0,8}(?:=>|:=|=|:)[ \t]{0,8}"
    rb"(?:(?P<quote>[\"'`])(?P<quoted>[A-Za-z0-9+/=_.~!@#$%^&*-]{16,500})(?P=quote)"
    rb"|(?P<plain>[A-Za-z0-9+/=_~-]{20,500})[ \t]*(?:[;,]?[ \t]*(?:#.*|//.*)?)(?:\r?$|\\n))",
    re.MULTILINE,
)
_URL = re.compile(rb"://[^\s:/@\"'<>]{1,100}:([^\s:/@\"'<>{}]{12,200})@")
_PLACEHOLDER = re.compile(
    rb"(?i)example|placeholder|change.?me|your[_-]|dummy|redacted|insert|x{5}|0123456789|1234567890|abcdefgh|<|\$\{|\{\{"
)
_UUID = re.compile(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


def formats(data: bytes) -> Iterator[Match]:
    """Everything that has the form of a well-known key, by kind."""
    for kind, words, pattern in FORMATS:
        for word in words:
            end = 0
            for at in _places(data, word):
                match = pattern.match(data, at) if at >= end else None
                # no mere picture of a key, such as `ghp_xxxx...` or Amazon's own AKIA...EXAMPLE
                varied = match and len(set(match[0])) > 12 and not match[0].endswith(b"EXAMPLE")
                if match and varied and not data[at - 1 : at].isalpha():
                    end = match.end()
                    yield Match(at, end, kind)


def assignments(text: bytes) -> Iterator[Match]:
    """Random text that is assigned to the name of a secret, and passwords in URLs."""
    lower = text.lower()
    for name in _NAMES:
        for at in _places(lower, name):
            match = _ASSIGNED.match(text, at + len(name))
            if match and (name != b"key" or _KEY_OF.search(text, max(0, at - 11), at)):
                group = "quoted" if match["quoted"] else "plain"
                if looks_random(match[group]):
                    yield Match(*match.span(group), GUESSED)
    for at in _places(text, b"://"):
        match = _URL.match(text, at)
        if match and looks_random(match[1]):
            yield Match(*match.span(1), "password in a URL")


def looks_random(value: bytes) -> bool:
    """Whether text seems to be made by chance, not by a person: no words, no path, no sequence, no UUID."""
    runs = len(re.findall(rb"[0-9]+", value))
    if runs < 2 or _PLACEHOLDER.search(value) or _UUID.fullmatch(value) or not re.search(rb"[A-Za-z]", value):
        return False
    if re.fullmatch(rb"[0-9a-f]+|[0-9A-F]+", value):
        return len(value) >= 32 and entropy(value) >= 3.0
    words = re.findall(rb"[a-z]{5,}|[A-Z]{5,}|[A-Z][a-z]{4,}", value)
    return entropy(value) >= 3.3 and 2 * sum(map(len, words)) < len(value)


def entropy(value: bytes) -> float:
    """Shannon's entropy, in bits a byte."""
    counts = [value.count(byte) for byte in set(value)]
    return -sum(count / len(value) * log2(count / len(value)) for count in counts)


def findings(data: bytes, known: Iterable[bytes] = ()) -> list[Finding]:
    """The secrets in a file's content, in order; `known` are values that are secret wherever they stand.

    A pragma on the line allows what only looks like a secret, never a known one.
    """
    found = [Match(at, at + len(value), KNOWN) for value in known for at in _places(data, value)]
    lookalikes = list(formats(data))
    if b"\0" not in data[:8000]:
        # Every long line is blanked out: what generated it is not a person, and each costs its time.
        lines = (line if len(line) <= _LONGEST_LINE else b" " * len(line) for line in data.split(b"\n"))
        lookalikes += assignments(b"\n".join(lines))
    found += [match for match in lookalikes if not _is_allowed(data, match.start)]
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


def _is_allowed(data: bytes, at: int) -> bool:
    """Whether the line at an offset says that it holds no secret."""
    end = data.find(b"\n", at)
    line = data[data.rfind(b"\n", 0, at) + 1 : end if end >= 0 else len(data)]
    return any(pragma in line for pragma in PRAGMAS)
