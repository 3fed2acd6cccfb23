"""Each signal of the ranking finds what it is there for, and what has no evidence has no points."""

from pathlib import Path

import pytest

from branchline.context.broker import of_folder
from branchline.context.query import parse
from branchline.context.rank import ASIDE, WEIGHTS, Anchors, Ranked, rank
from branchline.core.model.manifest import ContextRequest

FILES = {
    "src/app/__init__.py": "from .retry import RetryPolicy\n",
    "src/app/retry.py": '''\
"""Retrying."""
from app.clock import monotonic_now


class RetryPolicy:
    """How often to try."""

    def delay_of(self, attempt):
        return monotonic_now() + attempt


def give_up():
    raise ValueError("the policy has no attempts left")
''',
    "src/app/clock.py": "def monotonic_now():\n    return 1\n",
    "src/app/columns.py": "column_width = 80\n\n\ndef wrap(text):\n    return text[:column_width]\n",
    "src/app/report/layout.py": "from app.columns import wrap\n\n\ndef render(lines):\n    return [wrap(each) for each in lines]\n",
    "tests/test_retry.py": "from app.retry import RetryPolicy\n\n\ndef test_delay():\n    assert RetryPolicy().delay_of(1)\n",
    "docs/retry.md": "# Retrying\n\nThe retry policy says how often.\n",
    "vendor/retry.py": "def delay_of(attempt):\n    return 0\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / path).write_text(text)
    return tmp_path / "tree"


def ranking(tree: Path, text: str, *, targets: str = "", scope: str = "") -> dict[str, Ranked]:
    """The ranking for a text, by path, best first."""
    corpus = of_folder(tree, cache=tree.parent / "cache").corpus
    chosen, may_change = (
        frozenset(file for file, path in enumerate(corpus.paths) if path == only) for only in (targets, scope)
    )
    return {corpus.paths[one.file]: one for one in rank(parse(text), corpus, Anchors(chosen, may_change))}


def given(tree: Path, text: str, signal: str) -> list[str]:
    """The files that a signal gives points to, the most first."""
    found = ranking(tree, text)
    having = [path for path in found if signal in found[path].breakdown]
    return sorted(having, key=lambda path: -found[path].breakdown[signal])


@pytest.mark.parametrize(
    ("signal", "text", "first"),
    [
        ("lexical", "render each line", "src/app/report/layout.py"),
        ("title", "Render it\nattempts", "src/app/report/layout.py"),
        ("compound", "the column width is ignored", "src/app/columns.py"),
        ("chunk", "wrap text", "src/app/columns.py"),
        ("path", "the layout of a report", "src/app/report/layout.py"),
        ("mention", "see clock.py", "src/app/clock.py"),
        ("mention", "see https://example.org/blob/main/src/app/report/layout.py#L3", "src/app/report/layout.py"),
        ("trace", 'no\n  File "/x/app/columns.py", line 1, in wrap', "src/app/columns.py"),
        ("module", "app.clock is wrong", "src/app/clock.py"),
        ("module", "app.RetryPolicy is wrong", "src/app/retry.py"),
        ("symbol", "delay_of is wrong", "src/app/retry.py"),
        ("referenced", "delay_of is wrong", "src/app/clock.py"),
    ],
)
def test_a_signal_finds_what_it_is_for(tree: Path, signal: str, text: str, first: str) -> None:
    assert given(tree, text, signal)[0] == first


def test_imports_lead_to_a_file_that_the_task_does_not_speak_of(tree: Path) -> None:
    assert "src/app/clock.py" in given(tree, "delay_of", "imported")


def test_targets_lead_to_what_belongs_to_them(tree: Path) -> None:
    found = list(ranking(tree, "", targets="src/app/report/layout.py"))
    assert found[:2] == ["src/app/report/layout.py", "src/app/columns.py"]


def test_what_may_be_changed_comes_before_its_equal(tree: Path) -> None:
    plain, scoped = ranking(tree, "wrap text"), ranking(tree, "wrap text", scope="src/app/report/layout.py")
    assert next(iter(plain)) == "src/app/columns.py"
    assert next(iter(scoped)) == "src/app/report/layout.py"


def test_documents_and_vendored_files_come_after_code(tree: Path) -> None:
    order = list(ranking(tree, "retry policy delay"))
    assert order.index("src/app/retry.py") < min(order.index("docs/retry.md"), order.index("vendor/retry.py"))


def test_without_evidence_nothing_is_ranked(tree: Path) -> None:
    assert ranking(tree, "zebra") == ranking(tree, "") == {}


def test_scores_are_sums_of_their_parts_before_the_prior(tree: Path) -> None:
    one = ranking(tree, "delay_of")["src/app/retry.py"]
    assert one.score == pytest.approx(sum(one.breakdown.values()))
    assert 0 < one.score < 1


def test_every_signal_has_a_weight_and_folders_aside_are_written_in_small_letters(tree: Path) -> None:
    broker = of_folder(tree, cache=tree.parent / "cache")
    manifest = broker.manifest(
        ContextRequest(text='app.RetryPolicy, see src/app/retry.py\n"the policy has no attempts left"')
    )
    used = {signal for file in (*manifest.files, *manifest.tests) for signal in file.breakdown}
    assert used <= WEIGHTS.keys()
    assert all(name == name.lower() for name in ASIDE)
