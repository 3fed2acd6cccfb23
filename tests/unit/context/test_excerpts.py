"""The forms of a file: what an outline and an excerpt of real looking code show, and what holds of any."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.code.analysis import Analysis, Definition
from branchline.context.excerpts import BEGINNING, GAP, HEAD, LONGEST, NEAR, SMALL, forms, show
from branchline.context.tokens import counter, estimate
from branchline.core.model.manifest import Form, Span


def analysis(language: str = "python", *definitions: Definition) -> Analysis:
    return Analysis(language, "", 0, "", (), definitions, ())


def defined(text: str, name: str, kind: str, first: str, last: str, *, head: int = 1, parent: str = "") -> Definition:
    """A definition from the line that starts so to the first one after it that starts so."""
    lines = text.split("\n")
    line = next(n for n, one in enumerate(lines, 1) if one.startswith(first))
    end = next(n for n, one in enumerate(lines[line - 1 :], line) if one.startswith(last))
    return Definition(name, kind, line, end, line + head - 1, parent)


def modes(made: tuple[Form, ...]) -> list[str]:
    return [form.mode for form in made]


BODY = "".join(f"        total_{n} = self.accumulate(rows[{n}], weight=weights[{n}])\n" for n in range(12))
PYTHON = f'''\
"""Billing of accounts."""

import decimal

RATE = decimal.Decimal("0.19")


class Invoice:
    """What one customer owes."""

    def __init__(
        self,
        customer: Customer,
        lines: list[Line],
    ) -> None:
        self.customer = customer
        self.lines = lines

    def total(self, rows, weights) -> Decimal:
{BODY}        return self.rounded(total_0)

    def tax(self, rows, weights) -> Decimal:
{BODY}        return self.total(rows, weights) * RATE


def send(invoice: Invoice, *, retries: int = 3) -> Receipt:
{BODY.replace("        ", "    ")}    return post(invoice)
'''
DEFINITIONS = (
    defined(PYTHON, "RATE", "constant", "RATE", "RATE"),
    defined(PYTHON, "Invoice", "class", "class Invoice", "        return self.total"),
    defined(PYTHON, "__init__", "method", "    def __init__", "        self.lines", head=5, parent="Invoice"),
    defined(PYTHON, "total", "method", "    def total", "        return self.rounded", parent="Invoice"),
    defined(PYTHON, "tax", "method", "    def tax", "        return self.total", parent="Invoice"),
    defined(PYTHON, "send", "function", "def send", "    return post"),
)
KNOWN = analysis("python", *DEFINITIONS)


def span_of(name: str) -> Span:
    found = next(one for one in DEFINITIONS if one.name == name)
    return Span(start=found.line, end=found.end, name=f"{found.parent}.{name}".lstrip("."))


def test_an_outline_is_the_heads_of_the_definitions() -> None:
    outline, _ = forms(PYTHON, KNOWN, [], estimate)
    assert outline.mode == "outline"
    assert show(PYTHON, outline.spans).split("\n") == [
        GAP,
        'RATE = decimal.Decimal("0.19")',
        GAP,
        "class Invoice:",
        GAP,
        "    def __init__(",
        "        self,",
        "        customer: Customer,",
        "        lines: list[Line],",
        "    ) -> None:",
        GAP,
        "    def total(self, rows, weights) -> Decimal:",
        GAP,
        "    def tax(self, rows, weights) -> Decimal:",
        GAP,
        "def send(invoice: Invoice, *, retries: int = 3) -> Receipt:",
        GAP,
    ]
    assert [span.name for span in outline.spans] == [
        *("RATE", "Invoice", "Invoice.__init__", "Invoice.total", "Invoice.tax", "send")
    ]


def test_an_excerpt_is_the_outline_and_what_scored_best() -> None:
    made = forms(PYTHON, KNOWN, [(0.2, span_of("send")), (0.9, span_of("tax"))], estimate, max_tokens=500)
    assert modes(made) == ["outline", "excerpt", "full"]
    shown = show(PYTHON, made[1].spans)
    assert "return self.total(rows, weights) * RATE" in shown
    assert "return self.rounded" not in shown
    assert "class Invoice:" in shown
    assert "return post" not in shown  # no room is left for all of the second one
    tax = span_of("tax")
    assert any(span.start <= tax.start and tax.end <= span.end for span in made[1].spans)


def test_pieces_near_each_other_are_shown_as_one() -> None:
    text = "\n".join(f"value_{n} = compute(source[{n}], previous)" for n in range(200))
    scored = [(1.0, Span(start=50, end=51)), (0.9, Span(start=52 + NEAR, end=60)), (0.8, Span(start=61 + NEAR, end=70))]
    excerpt = forms(text, analysis(), scored, estimate)[1]
    assert [(span.start, span.end) for span in excerpt.spans[1:]] == [(50, 70)]
    apart = [(1.0, Span(start=50, end=51)), (0.9, Span(start=53 + NEAR, end=60))]
    excerpt = forms(text, analysis(), apart, estimate)[1]
    assert [(span.start, span.end) for span in excerpt.spans[1:]] == [(50, 51), (53 + NEAR, 60)]


def test_a_definition_that_is_too_large_is_cut_around_what_matched_in_it() -> None:
    body = "".join(f"    step_{n} = transform(step_{n - 1}, factor={n})\n" for n in range(1, 300))
    text = f"def pipeline(step_0):\n{body}    return step_299\n"
    whole = Span(start=1, end=301, name="pipeline")
    known = analysis("python", Definition("pipeline", "function", 1, 301, 1, ""))
    _, excerpt, _ = forms(text, known, [(0.9, whole), (0.5, Span(start=200, end=200))], estimate, max_tokens=400)
    shown = show(text, excerpt.spans)
    assert shown.startswith("def pipeline(step_0):\n    step_1 =")
    assert all(f"step_{n} = " in shown for n in range(195, 204))
    assert "step_100 = " not in shown
    assert {span.name for span in excerpt.spans} == {"pipeline"}


def test_a_definition_that_is_too_large_is_cut_at_its_end_if_nothing_in_it_matched() -> None:
    _, excerpt, _ = forms(PYTHON, KNOWN, [(0.9, span_of("total"))], estimate, max_tokens=250)
    shown = show(PYTHON, excerpt.spans)
    assert "total_0 = " in shown
    assert "total_11 = " not in shown


def test_the_outline_of_a_huge_file_keeps_what_matched_then_the_top() -> None:
    parts = [
        f"class Model{n}:\n    LIMIT = {n}\n    def load(self):\n        ...\n    def save(self):\n        ...\n"
        for n in range(150)
    ]
    text = "".join(parts)
    found: list[Definition] = []
    for n in range(150):
        first, name = 6 * n + 1, f"Model{n}"
        found += [
            Definition(name, "class", first, first + 5, first, ""),
            Definition("LIMIT", "constant", first + 1, first + 1, first + 1, name),
            Definition("load", "method", first + 2, first + 3, first + 2, name),
            Definition("save", "method", first + 4, first + 5, first + 4, name),
        ]
    matched = Span(start=6 * 149 + 5, end=6 * 149 + 6)
    outline = forms(text, analysis("python", *found), [(1.0, matched)], estimate, max_tokens=1000)[0]
    assert outline.mode == "outline"
    assert 300 <= outline.tokens <= 500
    shown = show(text, outline.spans)
    assert "class Model149:" in shown
    assert shown.count("class Model") > 50
    assert shown.count("def save") == 1
    assert "def load" not in shown
    assert "LIMIT" not in shown


def test_a_head_that_goes_on_and_on_is_cut() -> None:
    text = "def f(\n" + "".join(f"    parameter_{n}: dict[str, int],\n" for n in range(60)) + "):\n    ...\n"
    outline = forms(text, analysis("python", Definition("f", "function", 1, 63, 62, "")), [], estimate)[0]
    assert outline.spans == (Span(start=1, end=HEAD, name="f"),)


TYPESCRIPT = """\
import { Client } from "./client";

export interface Options {
  retries: number;
}

export class Session {
  constructor(private readonly client: Client) {}

  async open(
    user: string,
    options: Options,
  ): Promise<void> {
    await this.client.connect(user, options.retries);
  }
}

export const close = async (session: Session): Promise<void> => {
  await session.drain();
};
"""
GO = """\
package queue

// Queue holds jobs.
type Queue struct {
	jobs []Job
}

func (q *Queue) Push(job Job) error {
	q.jobs = append(q.jobs, job)
	return nil
}
"""


@pytest.mark.parametrize(
    ("text", "definitions", "outline"),
    [
        (
            TYPESCRIPT,
            [
                defined(TYPESCRIPT, "Options", "interface", "export interface", "}"),
                defined(TYPESCRIPT, "Session", "class", "export class", "}"),
                defined(TYPESCRIPT, "open", "method", "  async open", "  }", head=4, parent="Session"),
                defined(TYPESCRIPT, "close", "function", "export const close", "};"),
            ],
            [
                *("export interface Options {", "export class Session {", "  async open(", "    user: string,"),
                *("    options: Options,", "  ): Promise<void> {"),
                "export const close = async (session: Session): Promise<void> => {",
            ],
        ),
        (
            GO,
            [
                defined(GO, "Queue", "type", "type Queue", "}"),
                defined(GO, "Push", "method", "func (q", "}", parent="Queue"),
            ],
            ["type Queue struct {", "func (q *Queue) Push(job Job) error {"],
        ),
    ],
)
def test_outlines_of_other_languages(text: str, definitions: list[Definition], outline: list[str]) -> None:
    padding = "\n".join(f"// note {n}: nothing is defined in this long comment" for n in range(80))
    made = forms(text + padding, analysis("", *definitions), [], estimate)
    assert [line for line in show(text + padding, made[0].spans).split("\n") if line != GAP] == outline


def test_the_outline_of_prose_is_its_headings() -> None:
    filler = "Words that say something at some length about the matter at hand, over and over.\n" * 8
    text = (
        f"Title\n=====\n\n{filler}\n## Setup\n\n{filler}\n```sh\n# no heading\n~~~\n# none either\n```\n"
        f"{filler}\n### Details\n{filler}\nSecond\n~~~~~~\n{filler}"
    )
    outline = forms(text, analysis("markdown"), [], estimate)[0]
    assert show(text, outline.spans).replace(f"{GAP}\n", "").split("\n") == [
        *("Title", "## Setup", "### Details", "Second", GAP)
    ]


def test_the_outline_of_a_configuration_is_its_beginning() -> None:
    text = "# how it is deployed\n" + "".join(f"service_{n}:\n  replicas: {n}\n" for n in range(100))
    outline = forms(text, analysis("yaml"), [], estimate)[0]
    assert outline.spans == (Span(start=1, end=BEGINNING),)


def test_a_small_file_is_shown_whole() -> None:
    text = "value = compute(source)\n" * 40
    assert estimate(text) <= SMALL
    assert forms(text, KNOWN, [(1.0, Span(start=1, end=2))], estimate) == (Form(mode="full", tokens=estimate(text)),)


def test_forms_that_save_nothing_are_left_out() -> None:
    assert modes(forms(PYTHON, KNOWN, [], estimate)) == ["outline", "full"]
    assert modes(forms(PYTHON, KNOWN, [(1.0, Span(start=1, end=9999))], estimate, max_tokens=9999)) == [
        "outline",
        "full",
    ]
    in_outline = [(1.0, span) for span in forms(PYTHON, KNOWN, [], estimate)[0].spans]
    assert "excerpt" not in modes(forms(PYTHON, KNOWN, in_outline, estimate))


def test_one_gigantic_line_is_cut() -> None:
    text = "var a=" + "b(c,d);" * 50_000
    outline, full = forms(text, analysis("javascript"), [(1.0, Span(start=1, end=1))], estimate)
    assert (outline.mode, full.mode) == ("outline", "full")
    assert len(show(text, outline.spans)) <= LONGEST + 5
    assert outline.tokens < 300


def test_line_ends_of_windows_and_a_missing_one() -> None:
    windows = PYTHON.replace("\n", "\r\n").removesuffix("\r\n")
    scored = [(1.0, span_of("tax"))]
    unix = [(form.mode, form.spans) for form in forms(PYTHON, KNOWN, scored, estimate)]
    assert [(form.mode, form.spans) for form in forms(windows, KNOWN, scored, estimate)] == unix
    assert show(windows, unix[1][1]) == show(PYTHON, unix[1][1])


def test_a_form_feed_ends_no_line() -> None:
    text = "\n".join(f"value_{n} = 1\f # page\u2028" for n in range(100))
    assert show(text, [Span(start=2, end=2)]) == f"{GAP}\nvalue_1 = 1\f # page\u2028\n{GAP}"


def test_the_same_forms_from_spans_in_any_order() -> None:
    scored = [(0.5, span_of(name)) for name in ("tax", "total", "send")]
    assert (
        len({forms(PYTHON, KNOWN, order, estimate, max_tokens=500) for order in (tuple(scored), tuple(scored[::-1]))})
        == 1
    )


LINES = st.text("ab (){}=#.\t\r€", max_size=60)
TEXTS = st.lists(LINES, max_size=12).flatmap(
    lambda some: st.integers(1, 60).map(lambda times: "\n".join(some * times))
) | st.text(max_size=50).map(lambda text: text * 200)
NUMBERS = st.integers(-2, 400)
SPANS = st.lists(
    st.tuples(st.floats(0, 1), st.builds(Span, start=NUMBERS, end=NUMBERS, name=st.sampled_from(["", "A", "A.b"]))),
    max_size=8,
)
FOUND = st.lists(
    st.builds(
        Definition,
        *(st.sampled_from(["f", "g"]), st.sampled_from(["function", "constant"])),
        *(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["", "A"])),
    ),
    max_size=8,
)


@given(TEXTS, SPANS, FOUND, st.integers(1, 900), st.booleans())
def test_what_holds_of_any_file(
    text: str, scored: list[tuple[float, Span]], found: list[Definition], most: int, exact: bool
) -> None:
    count = counter(exact).count
    made = forms(text, analysis("", *found), scored, count, max_tokens=most)
    assert modes(made) == sorted(modes(made), key=["outline", "excerpt", "full"].index)
    assert made[-1] == Form(mode="full", tokens=count(text))
    sizes = [form.tokens for form in made]
    assert sizes == sorted(set(sizes))
    lines = len(re.findall(r"[^\n]*\n|[^\n]+$", text))
    for form in made[:-1]:
        assert form.spans
        assert form.tokens == count(show(text, form.spans))
        assert form.tokens <= (most if form.mode == "excerpt" else most // 2)
        numbers = [number for span in form.spans for number in (span.start, span.end)]
        assert numbers == sorted(numbers)
        assert all(a.end + 1 < b.start for a, b in zip(form.spans, form.spans[1:], strict=False))
        assert numbers[0] >= 1
        assert numbers[-1] <= lines
