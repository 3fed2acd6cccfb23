"""Manifests and explanations as text, at several widths, with names that are hard to show."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.core.model.manifest import Explanation, Manifest, ManifestFile, SelectionParams, Span
from branchline.views.context import explanation_lines, manifest_lines, summary

PARAMS = SelectionParams(
    task_type="edit", text_sha256="", keywords=(), target_files=(), scope=(), max_tokens=80_000, max_files=60
)


def file(path: str, score: float = 1.0, **fields: Any) -> ManifestFile:
    known = {"category": "code", "mode": "full", "breakdown": {}, "size_bytes": 1, "tokens": 1234, "sha256": ""}
    return ManifestFile(path=path, score=score, **{**known, **fields})


def manifest(*files: ManifestFile, tests: tuple[ManifestFile, ...] = (), **fields: Any) -> Manifest:
    known = {
        "selection_params": PARAMS, "config_fingerprint": "", "tokens_by": "estimate", "truncated": False,
        "total_files": len(files) + len(tests), "total_tokens": sum(one.tokens for one in (*files, *tests)),
    }  # fmt: skip
    return Manifest(files=files, tests=tests, **{**known, **fields})


TWO = manifest(
    file(
        "src/session.py",
        2.0,
        mode="excerpt",
        breakdown={"title": 0.814, "path_words": 0.4, "imports": 0.1, "churn": 0.05, "size": -0.2, "symbols": 0.004},
        spans=(Span(start=10, end=80, name="Session"), Span(start=90, end=90), Span(start=100, end=120)),
    ),
    file("src/user.py", 0.5, included_as="target", tokens=12_345, breakdown={"title": 0.5}),
    tests=(file("tests/test_session.py", 1.0, category="tests"),),
)


def test_a_table_has_rank_bar_tokens_mode_path_lines_and_reasons() -> None:
    assert manifest_lines(TWO) == [
        "Files",
        "    1  ━━━━━━━━    1,234  excerpt  src/session.py:10-80,90,100-120",
        "                                   title 0.81, path words 0.40, imports 0.10",
        "    2  ━━         12,345  full     src/user.py",
        "                                   target, title 0.50",
        "",
        "Tests",
        "    1  ━━━━        1,234  full     tests/test_session.py",
    ]


def test_a_narrow_table_keeps_what_counts() -> None:
    assert manifest_lines(TWO, columns=48)[1:5] == [
        "    1    1,234  src/session.py:10-80,90,100-120",
        "                title 0.81, path words 0.40,",
        "                imports 0.10",
        "    2   12,345  src/user.py",
    ]


def test_the_longest_ranges_are_shown_and_the_rest_counted() -> None:
    spans = tuple(Span(start=10 * n, end=10 * n + n % 4) for n in range(1, 7))
    assert manifest_lines(manifest(file("a.py", mode="excerpt", spans=spans)))[1].endswith("a.py:20-22,30-33,60-62,+3")
    assert manifest_lines(manifest(file("a.py", mode="outline", spans=spans)))[1].endswith("a.py")


def test_nothing_fits() -> None:
    assert manifest_lines(manifest()) == ["No file fits"]


def test_scores_of_zero_have_no_bar() -> None:
    assert "━" not in "".join(manifest_lines(manifest(file("a.py", 0.0), file("b.py", 0.0))))
    assert manifest_lines(manifest(file("a.py", 1.0), file("b.py", -1.0)))[2].split()[1] == "1,234"


paths = st.text(min_size=1, max_size=60) | st.text("表テ é/\n\t\x1b\udcff", min_size=1, max_size=60)


@given(paths, st.floats(-5, 5), st.integers(20, 200))
def test_any_name_is_shown_on_lines_of_its_own_without_controls(path: str, score: float, columns: int) -> None:
    lines = manifest_lines(manifest(file(path, score, breakdown={path: score})), columns=columns)
    assert all(line.isprintable() for line in lines)
    assert lines[1].split()[0] == "1"
    explained = explanation_lines(
        Explanation(path=path, included=False, reason=path, detail=path, matches={path: (path,)}), columns=columns
    )
    assert all(line.isprintable() for line in explained)


def test_the_summary_adds_up() -> None:
    whole = manifest(file("a.py", tokens=41_200), excluded_by={"cap": 3, "budget": 2_131})
    assert summary(whole, indexed=12, elapsed_ms=340) == (
        "1 file, 41,200 of 80,000 tokens (estimate), 2,134 left out: budget 2,131, cap 3; indexed 12 new files in 340ms"
    )
    assert summary(manifest(file("a.py"), file("b.py")), indexed=1, elapsed_ms=5) == (
        "2 files, 2,468 of 80,000 tokens (estimate); indexed 1 new file in 5ms"
    )
    assert summary(manifest()) == "0 files, 0 of 80,000 tokens (estimate)"


def test_why_a_file_is_in() -> None:
    found = Explanation(
        path="src/session.py",
        included=True,
        reason="ranked",
        rank=3,
        ranked=2700,
        score=1.834,
        breakdown={"imports": 0.1, "title": 0.81, "size": -0.2},
        matches={"title": ("login", "session"), "path_words": ("session",)},
        mode="excerpt",
        tokens=1240,
        spans=(Span(start=10, end=80, name="Session"), Span(start=90, end=90)),
    )
    assert explanation_lines(found) == [
        "src/session.py: in",
        "  why    its rank earns it a place",
        "  rank   3 of 2,700, score 1.83",
        "  form   excerpt, 1,240 tokens",
        "  lines  10-80 Session, 90",
        "",
        "Signals",
        "  title       0.81   login, session",
        "  imports     0.10",
        "  size        -0.20",
        "  path words         session",
    ]


@pytest.mark.parametrize(
    ("reason", "detail", "told"),
    [
        ("budget", "", "the budget has no room left for it"),
        ("banned", "**/*.pem", "a ban glob matches it: **/*.pem"),
        ("duplicate", "src/a.py", "another file has the same content: src/a.py"),
        ("made_of_air", "", "made of air"),
    ],
)
def test_why_a_file_is_out(reason: str, detail: str, told: str) -> None:
    found = Explanation(path="x", included=False, reason=reason, detail=detail)
    assert explanation_lines(found) == ["x: out", f"  why  {told}"]
