"""A task's text taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.query import IN_CODE, IN_PROSE, IN_TITLE, MOST, parse

ISSUE = """\
fix(parser): Crash on empty retry policy

<!-- Please search existing issues about zebras first -->
Calling `load_policy` with an empty file fails, see src/app/policy.py and
https://example.org/repo/blob/main/tests/test_policy.py#L10

```python
import numpy as np
from app.policy import RetryPolicy
np.linalg.norm(RetryPolicy.load("x"))
```

Traceback (most recent call last):
  File "/site-packages/app/cli.py", line 10, in main
  File "/site-packages/app/policy.py", line 5, in load
ValueError: the retry policy has no attempts left

## Environment

OS: walrus
"""


HARD = (
    "a",
    "A",
    "a.",
    "a/",
    "a b ",
    "at ",
    "<!--",
    "from x import (",
    "# ",
    " ",
    "- 1.2 ",
    "```",
    "`a",
    "error: ",
    "'",
    "A_",
    "a::b\n",
)
"""Texts that, repeated, would make a careless pattern take minutes."""


def test_the_title_is_the_first_line_without_the_kind_of_commit() -> None:
    query = parse(ISSUE)
    assert list(query.title) == ["parser", "crash", "empty", "retry", "policy"]
    assert "fix" not in query.terms


def test_what_a_term_weighs_depends_on_where_it_stands() -> None:
    query = parse("title\nprose\n```\ncoded\n```")
    assert (query.terms["title"], query.terms["prose"], query.terms["coded"]) == (IN_TITLE, IN_PROSE, IN_CODE)


def test_keywords_count_as_words_of_the_title() -> None:
    assert parse("", ["retry", "BackOff"]).title.keys() == {"retry", "back", "backoff"}


def test_what_tells_of_the_machine_and_what_is_hidden_is_left_out() -> None:
    terms = parse(ISSUE + "\nnumpy: 1.2.3\n$ pip install giraffe").terms
    assert not {"zebra", "walrus", "giraffe"} & terms.keys()


def test_words_after_the_environment_count_again() -> None:
    assert "otter" in parse("title\n## Environment\nwalrus\n## Expected\notter").terms


def test_words_side_by_side_are_looked_for_as_one_identifier() -> None:
    query = parse("Wrong column width\nthe retry policy of each job")
    assert query.compounds["columnwidth"] == 1.0
    assert query.compounds["retrypolicy"] == 0.5


def test_identifiers_look_like_code_by_their_form_or_by_what_surrounds_them() -> None:
    identifiers = parse(
        "call run_all or RetryPolicy and `quiet` and start() but never mind\n```\nplain\n```"
    ).identifiers
    assert {word for word, looks in identifiers.items() if looks == 1.0} == {"run_all", "RetryPolicy", "quiet", "start"}
    assert (identifiers["plain"], identifiers["mind"]) == (0.7, 0.0)


def test_qualified_names_have_their_aliases_resolved() -> None:
    dotted = parse(ISSUE).dotted
    assert "numpy.linalg.norm" in dotted
    assert dotted["app.policy.RetryPolicy"] == 0.6
    assert "std.collections.Map" in parse("use std::collections::Map").dotted


def test_files_that_are_named_are_told_from_those_of_a_traceback() -> None:
    query = parse(ISSUE)
    assert query.mentions[0] == "src/app/policy.py"
    assert query.mentions[1].endswith("/tests/test_policy.py")
    assert query.frames == ("/site-packages/app/policy.py", "/site-packages/app/cli.py")


@pytest.mark.parametrize(
    "text",
    [
        "x\n    at run (src/engine/run.ts:10:3)",
        "x\nsrc/engine/run.rs:10:3: error: no",
        'x\n  File "src/engine/run.py", line 1',
    ],
)
def test_frames_of_several_languages(text: str) -> None:
    assert parse(text).frames[0].startswith("src/engine/run.")


@pytest.mark.parametrize("text", ["", "\n\n", "\0\x1b[31m", "`", "```", "<!--", *(part * 100_000 for part in HARD)])
def test_odd_texts_are_taken_apart_all_the_same(text: str) -> None:
    query = parse(text)
    assert max(len(query.terms), len(query.dotted), len(query.mentions)) <= 3 * MOST


@given(st.text())
def test_any_text_is_taken_apart_the_same_way_twice(text: str) -> None:
    assert parse(text) == parse(text)
