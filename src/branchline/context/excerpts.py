"""The forms in which a file can be shown: an outline, an excerpt with the lines that matter, all of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

from branchline.context.code.analysis import Analysis, Definition
from branchline.core.model.manifest import Form, Span
from branchline.core.rules.linear import compiled

SMALL = 300  # tokens; so small a file is shown whole or not at all
NEAR = 3  # lines between two pieces that are shown as well, so that they read as one
AROUND = 5  # lines before and after a match in a definition that is too large
HEAD = 8  # lines of a definition's head, of those that go on longer the first
BEGINNING = 20  # lines of a text without definitions and headings
LONGEST = 300  # characters of a line in a piece; the rest of a longer one is left out
GAP = "…"  # one token; "⋮" would be three
PROSE = frozenset({"", "markdown", "rst", "restructuredtext", "text", "asciidoc"})

_HEADING = compiled(r"(#{1,6}|={1,6})\s+\S")
_FENCE = compiled(r"\A\s*+(```|~~~)")
_UNDERLINE = compiled(r"\A([=\-~^\"'`#*+.:_])\1{2,}+\s*+$")


def forms(
    text: str,
    analysis: Analysis,
    spans: Sequence[tuple[float, Span]],
    count: Callable[[str], int],
    *,
    max_tokens: int = 1000,
) -> tuple[Form, ...]:
    """Every form of a file that is worth having, from the smallest to the largest; the last one is the whole file.

    `spans`: pieces of it with their scores, in any order; they may lie in one another. An excerpt costs at most
    `max_tokens`, an outline half of them.
    """
    full = Form(mode="full", tokens=count(text))
    if full.tokens <= SMALL:
        return (full,)
    page = _Page(text, full.tokens, count)
    ranked = page.clipped(
        span for _, span in sorted(spans, key=lambda one: (-one[0], one[1].start, one[1].end, one[1].name))
    )
    if analysis.definitions:
        heads = page.clipped(_heads(analysis.definitions))
    else:
        titles = _headings(page.lines) if analysis.language in PROSE else []
        heads = page.clipped(titles or [Span(start=1, end=BEGINNING)])
    if page.cost(heads) > max_tokens // 2 and analysis.definitions:
        heads = page.clipped(_heads(_by_relevance(analysis.definitions, ranked)))
    outline = page.shown(heads, max_tokens // 2, apart=1)
    matches = [span for span in page.focused(ranked, max_tokens // 2) if not any(_within(span, one) for one in outline)]
    excerpt = page.shown([*outline, *matches], max_tokens, apart=NEAR) if matches else ()
    made = [Form(mode="outline", tokens=page.tokens(outline), spans=outline)] if outline else []
    if excerpt and excerpt != outline:
        made.append(Form(mode="excerpt", tokens=page.tokens(excerpt), spans=excerpt))
    kept = [full]
    for form in reversed(made):
        if form.tokens < kept[-1].tokens:
            kept.append(form)
    return tuple(reversed(kept))


def show(text: str, spans: Sequence[Span]) -> str:
    """The lines of these spans, which are sorted and apart, with a sign where some are left out; without spans all."""
    return _drawn(_lines(text), spans) if spans else text


class _Page:
    """A text by lines, and what they cost."""

    def __init__(self, text: str, tokens: int, count: Callable[[str], int]) -> None:
        self.lines = _lines(text)
        self._count = count
        self._rate = tokens / max(len(text), 1)
        self._before = list(accumulate(map(len, self.lines), initial=0))  # characters in the lines before each

    def tokens(self, spans: Sequence[Span]) -> int:
        """What the spans cost as they are shown."""
        return self._count(_drawn(self.lines, spans)) if spans else 0

    def cost(self, spans: Iterable[Span]) -> float:
        """About what they cost, without counting: one by one."""
        return sum(self._of_lines(span.start, span.end) for span in spans)

    def _of_lines(self, start: int, end: int) -> float:
        return (self._before[end] - self._before[start - 1] + end - start + 1) * self._rate

    def clipped(self, spans: Iterable[Span]) -> list[Span]:
        """The spans, or what the text has of them."""
        return [
            Span(start=start, end=end, name=span.name)
            for span in spans
            if (start := max(span.start, 1)) <= (end := min(span.end, len(self.lines)))
        ]

    def focused(self, ranked: Sequence[Span], large: int) -> Iterator[Span]:
        """The spans, but before one of more than `large` tokens what matched in it, with some lines around."""
        for span in ranked:
            if self.cost([span]) > large:
                for inner in ranked:
                    if inner != span and _within(inner, span):
                        start, end = max(inner.start - AROUND, span.start), min(inner.end + AROUND, span.end)
                        yield Span(start=start, end=end, name=inner.name or span.name)
            yield span

    def shown(self, pieces: Sequence[Span], room: int, apart: int) -> tuple[Span, ...]:
        """As much of the pieces, the first ones first, as costs at most `room` tokens, sorted and joined.

        The piece that does not fit is cut at its end. Lines are taken by what they cost about; what turns out to be too
        much is taken again with less room.
        """
        about = float(room)
        while spans := _joined(self._taken(pieces, about), apart):
            cost = self.tokens(spans)
            if cost <= room:
                return spans
            about *= 0.95 * room / cost
        return ()

    def _taken(self, pieces: Iterable[Span], room: float) -> list[Span]:
        """The pieces up to the line at which the room ends."""
        taken, seen = [], bytearray(len(self.lines) + 1)
        for piece in pieces:
            end = piece.end
            if (whole := self.cost([piece])) <= room and not any(seen[piece.start : piece.end + 1]):
                room -= whole
            else:
                for number in range(piece.start, piece.end + 1):
                    if not seen[number]:
                        room -= self._of_lines(number, number)
                        if room < 0:
                            end = number - 1
                            break
            if end >= piece.start:
                seen[piece.start : end + 1] = b"\1" * (end - piece.start + 1)
                taken.append(Span(start=piece.start, end=end, name=piece.name))
            if room < 0:
                break
        return taken


def _lines(text: str) -> list[str]:
    """The lines of a text, without their ends; of one that is too long its beginning."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    if max(map(len, lines), default=0) > LONGEST:
        lines = [line if len(line) <= LONGEST else f"{line[:LONGEST]} …" for line in lines]
    return lines


def _drawn(lines: Sequence[str], spans: Sequence[Span]) -> str:
    shown, last = list[str](), 0
    for span in spans:
        if span.start > last + 1:
            shown.append(GAP)
        shown += lines[span.start - 1 : span.end]
        last = span.end
    if last < len(lines):
        shown.append(GAP)
    return "\n".join(shown)


def _joined(pieces: Iterable[Span], apart: int) -> tuple[Span, ...]:
    """The pieces sorted; those that meet, or have at most `apart` lines between them, as one.

    One that holds several names has none.
    """
    joined: list[Span] = []
    for piece in sorted(pieces, key=lambda piece: (piece.start, piece.end)):
        last = joined[-1] if joined else piece
        if joined and piece.start <= last.end + 1 + apart:
            name = last.name if piece.name in ("", last.name) else ""
            joined[-1] = Span(start=last.start, end=max(last.end, piece.end), name=name)
        else:
            joined.append(piece)
    return tuple(joined)


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _heads(definitions: Sequence[Definition]) -> list[Span]:
    return [
        Span(
            start=one.line,
            end=min(one.signature_end, one.line + HEAD - 1),
            name=f"{one.parent}.{one.name}" if one.parent else one.name,
        )
        for one in definitions
    ]


def _by_relevance(definitions: Sequence[Definition], ranked: Sequence[Span]) -> list[Definition]:
    """Those that matched and what they are in, the best first, then what stands at the top, methods, constants."""

    def key(one: Definition) -> tuple[int, bool, bool, int]:
        matched = (i for i, span in enumerate(ranked) if span.start <= one.end and one.line <= span.end)
        return next(matched, len(ranked)), one.kind == "constant", bool(one.parent), one.line

    return sorted(definitions, key=key)


def _headings(lines: Sequence[str]) -> list[Span]:
    """The titles of a text, underlined ones too, but nothing that stands in a block of code."""
    found, fence = [], ""
    for number, (line, after) in enumerate(pairwise([*lines, ""]), 1):
        mark = match[1] if (match := _FENCE.match(line)) else ""
        if mark and fence in ("", mark):
            fence = "" if fence else mark
        elif fence:
            continue
        elif _HEADING.match(line) or (_UNDERLINE.match(after) and line.strip() and not _UNDERLINE.match(line)):
            found.append(Span(start=number, end=number))
    return found
