"""A task's text, taken apart into what can be looked up: terms, identifiers, paths, frames of tracebacks."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import log

from branchline.context.code.words import STOP, WORD, terms_of
from branchline.core.rules.linear import compiled

MOST_TEXT = 60_000  # characters; of a longer text the beginning says what it is about
MOST = 400  # of each kind of thing
LONG = 200  # characters of a line that is no heading
IN_TITLE, IN_PROSE, IN_CODE = 2.0, 1.0, 0.5
"""What a term weighs by where it stands: the first line says it best, pasted code says much that matters little."""

_COMMENT = compiled(r"<!--(?:[^<-]++|<(?!!--)|-(?!->))*+-->")
_CONVENTIONAL = compiled(
    r"^(?:build|chore|ci|docs?|feat|feature|fix|perf|refactor|revert|style|tests?)(?:\(([^)]*)\))?!?:\s*", re.IGNORECASE
)
_HEADING = compiled(r"\A\s*+(?:#{1,6}\s++|\*\*)")
_ENVIRONMENT = compiled(
    r"environment|system (?:info|details)|versions?\b|your project|screenshots|additional context|extra tools|installed|"
    r"platform|os info|output of|pip list|extensions",
    re.IGNORECASE,
)
_VERSION = compiled(
    r"\A[ \t>|*-]*+[\w.() -]{1,40}\s{0,9}(?:[:=|]{1,9}\s{0,9}|\s)v?(?:\d+\.\w\S*|None|unknown|installed)[ \t|]*$"
)
_SHELL = compiled(
    r"^\s*(?:\$ |sudo |pip3? install|git clone|cd |conda |FROM |RUN |WORKDIR |python3? -m |make |npm |cargo install|brew )"
)
_URL = compiled(r"https?://\S+")
_FENCED = compiled(r"```[^\n`]*+\n.*?(?:```|\Z)|~~~[^\n~]*+\n.*?(?:~~~|\Z)", re.DOTALL)
_INLINE = compiled(r"`([^`\n]+)`")
_CODE_LINE = compiled(r'^(?:    |\t|>>>|In \[|  File ")')
_EXTENSIONS = (
    "pyx?|pyi|tsx?|jsx?|mjs|cjs|vue|svelte|go|rs|java|kt|scala|cc?|cpp|cxx|hh?|hpp|cs|rb|php|swift|sh|sql|md|rst|"
    "toml|ya?ml|json|cfg|ini|html|css"
)
_PATHLIKE = compiled(r"[\w./\\@+-]++(?!\()")
_MENTION = compiled(rf"\A.*[\w-]\.(?:{_EXTENSIONS})", re.DOTALL)
_FRAME = compiled(
    r'File "([^"\n]+)", line \d+|^[ \t]*([\w./-]{1,300}\.\w{1,9}):\d+(?::\d+)?: |\bat (?:[\w.$<> ]{1,200} \()?([\w./@-]{1,300}\.[jt]sx?):\d+',
    re.MULTILINE,
)
_DOTTED = compiled(r"\b[A-Za-z_]\w*+(?:(?:\.|::)[A-Za-z_]\w*+)+")
_PYTHON_IMPORT = compiled(r"^[ \t>]*from[ \t]+([\w.]+)[ \t]+import[ \t]++(\([^)]{0,1000}\)|[^\n]*)", re.MULTILINE)
_ALIAS = compiled(r"^[ \t>]*(?:>>> )?import[ \t]+([\w.]+)[ \t]+as[ \t]+(\w+)", re.MULTILINE)
_CODELIKE = compiled(r"\w_\w|[a-z][A-Z]|[A-Z][A-Z][a-z]|^__\w+__$")


@dataclass(frozen=True, slots=True)
class Query:
    """A task as it can be looked up. Every mapping is in the order of first mention; weights are relative.

    `terms`: index terms of all the text; `title` those of its first line, `prose` those of the rest without code;
    `compounds`: adjacent words written as one. `identifiers`: words as written, to how much they look like code (0 to
    1); `dotted`: qualified names. `mentions`: paths or names of files; `frames`: those of tracebacks, the innermost
    first.
    """

    terms: dict[str, float]
    title: dict[str, float]
    prose: frozenset[str]
    compounds: dict[str, float]
    identifiers: dict[str, float]
    title_words: frozenset[str]
    dotted: dict[str, float]
    mentions: tuple[str, ...]
    frames: tuple[str, ...]


def parse(text: str, keywords: Iterable[str] = ()) -> Query:
    """Take a task's text apart; `keywords` count as words of its title."""
    whole = _COMMENT.sub(" ", text[:MOST_TEXT].replace("\r", "")).strip()
    first, _, rest = whole.partition("\n")
    title = " ".join([_CONVENTIONAL.sub(lambda match: f"{match[1] or ''} ", first), *keywords])
    prose, code = _told("\n".join(_relevant(rest.split("\n"))))
    in_title, in_prose = _weighed(title), _weighed(prose)
    terms: dict[str, float] = {}
    for factor, weights in ((IN_TITLE, in_title), (IN_PROSE, in_prose), (IN_CODE, _weighed(code))):
        for term, weight in weights.items():
            terms[term] = terms.get(term, 0.0) + factor * weight
    everything = f"{title}\n{prose}\n{code}"
    frames = _first(next(filter(None, match.groups())) for match in reversed(list(_FRAME.finditer(whole))))
    return Query(
        terms=terms,
        title=in_title,
        prose=frozenset(in_prose),
        compounds=dict.fromkeys(_first(_compounds(prose)), 0.5) | dict.fromkeys(_first(_compounds(title)), 1.0),
        identifiers=_identifiers(everything, code),
        title_words=frozenset(WORD.findall(title)),
        dotted=_dotted(everything),
        mentions=_first(
            match[0].replace("\\", "/")
            for word in _PATHLIKE.findall(_FRAME.sub(" ", whole))
            if len(word) < 300 and (match := _MENTION.match(word))
        ),
        frames=frames,
    )


def _relevant(lines: Iterable[str]) -> Iterator[str]:
    """The lines but those that tell of the reporter's machine: what is installed there, and how."""
    skipping = False
    for line in lines:
        if heading := _heading(line):
            skipping = bool(_ENVIRONMENT.search(heading))
        elif "</details>" in line:
            skipping = False
        if not (skipping or _SHELL.match(line) or (len(line) < LONG and _VERSION.match(line))):
            yield line


def _heading(line: str) -> str:
    """The words of a heading, also of one that is only printed bold; empty for any other line."""
    start = _HEADING.match(line) if len(line) < LONG else None
    return line[start.end() :].rstrip().removesuffix(":").rstrip().removesuffix("**") if start else ""


def _told(text: str) -> tuple[str, str]:
    """A text as prose, and as the code that it quotes."""
    quoted = [*_FENCED.findall(text), *_INLINE.findall(_FENCED.sub(" ", text))]
    prose: list[str] = []
    code = quoted
    for line in _URL.sub(" ", _INLINE.sub(" ", _FENCED.sub(" ", text))).split("\n"):
        (code if _CODE_LINE.match(line) else prose).append(line)
    return "\n".join(prose), "\n".join(code)


def _weighed(text: str) -> dict[str, float]:
    counts: dict[str, int] = {}
    for word in WORD.findall(text):
        for term in terms_of(word):
            counts[term] = counts.get(term, 0) + 1
    return {term: 1 + log(count) for term, count in islice(counts.items(), MOST)}


def _compounds(text: str) -> Iterator[str]:
    """Adjacent words joined, as an identifier may write them: `line length` is looked for as `linelength`."""
    for run in compiled(r"[^\w\s-]|\n\n").split(text):
        words = [word.lower() for word in WORD.findall(run) if len(word) > 1 and word.isalpha()]
        for size in (2, 3):
            for at in range(len(words) - size + 1):
                part = words[at : at + size]
                if not STOP.intersection(part) and sum(map(len, part)) > 5:
                    yield "".join(part)


def _identifiers(text: str, code: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for match in WORD.finditer(text):
        word, before = match[0], text[max(0, match.start() - 1) : match.start()]
        if len(word) > 2:
            called = text[match.end() : match.end() + 1] == "(" or before in {".", "`", ":"}
            found[word] = max(found.get(word, 0.0), 1.0 if called or _CODELIKE.search(word) else 0.0)
    for word in WORD.findall(code):
        if len(word) > 2:
            found[word] = max(found.get(word, 0.0), 0.7)
    return dict(islice(found.items(), 2 * MOST))


def _dotted(text: str) -> dict[str, float]:
    aliases = {short: long for long, short in _ALIAS.findall(text)}
    found = {}
    for match in _DOTTED.finditer(text):
        first, _, rest = match[0].replace("::", ".").partition(".")
        found[f"{aliases.get(first, first)}.{rest}"] = 1.0
    for module, names in _PYTHON_IMPORT.findall(text):
        for name in WORD.findall(names)[:12]:
            found.setdefault(f"{module}.{name}", 0.6)
    return dict(islice(found.items(), MOST))


def _first(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(found), MOST))
