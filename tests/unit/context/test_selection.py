"""Which files a manifest holds. What holds for any request is said by properties, the rules one by one by examples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from branchline.context.selection import Selection, ban_of, rounded, select
from branchline.core.model.manifest import (
    Candidate,
    Caps,
    Category,
    ContextRequest,
    ContextSettings,
    ExcludedFile,
    Form,
    ManifestFile,
    Span,
    TaskType,
)
from strategies import MODES, forms

CATEGORIES: tuple[Category, ...] = ("code", "tests", "docs", "other")


def made(path: str, score: float = 1.0, tokens: int = 100, **fields: Any) -> Candidate:
    """A candidate with one form, the whole file."""
    usual: dict[str, Any] = {
        "category": "code",
        "breakdown": {"lexical": score},
        "size_bytes": 4 * tokens,
        "sha256": f"sha of {path}",
        "forms": (Form(mode="full", tokens=tokens),),
    }
    return Candidate(path=path, score=score, **(usual | fields))


def request(*targets: str, max_tokens: int = 10_000, **fields: Any) -> ContextRequest:
    return ContextRequest(targets=targets, settings=ContextSettings(max_tokens=max_tokens, **fields))


def names(files: Sequence[ManifestFile | ExcludedFile]) -> list[str]:
    return [file.path for file in files]


def reasons(selection: Selection) -> Mapping[str, str]:
    return {file.path: file.reason for file in selection.excluded}


def test_files_stand_by_score_then_size_then_path() -> None:
    given_files = [made("d", 0.5), made("c", 0.9, 50), made("b", 0.9, 60), made("a", 0.9, 60)]
    assert names(select(request(), given_files).files) == ["c", "a", "b", "d"]


def test_what_the_manifest_does_not_tell_does_not_rank() -> None:
    given_files = [made("a", 0.30000001, 80), made("b", 0.3, 70), made("c", 1e-9), made("d", -1e-9)]
    chosen = select(request(), given_files)
    assert names(chosen.files) == ["b", "a"]
    assert names(select(request(max_tokens=100), given_files).files) == ["b"]
    assert [file.score for file in chosen.files] == [0.3, 0.3]
    assert reasons(chosen) == {"c": "no_match", "d": "no_match"}
    assert str(rounded(-1e-9)) == "0.0"


def test_a_file_tells_what_the_candidate_was() -> None:
    spans = (Span(start=3, end=9, name="f"),)
    one = made(
        "a.py", 0.25, breakdown={"path": 0.05, "lexical": 0.20001}, forms=(Form(mode="excerpt", tokens=7, spans=spans),)
    )
    assert select(request(), [one]).files == (
        ManifestFile(
            path="a.py",
            category="code",
            mode="excerpt",
            score=0.25,
            breakdown={"lexical": 0.2, "path": 0.05},
            size_bytes=400,
            tokens=7,
            sha256="sha of a.py",
            spans=spans,
        ),
    )


def test_tests_stand_in_their_own_section() -> None:
    chosen = select(request(), [made("t", 0.9, category="tests"), made("a")])
    assert (names(chosen.files), names(chosen.tests), chosen.total_tokens) == (["a"], ["t"], 200)


def test_targets_are_in_whatever_they_cost() -> None:
    chosen = select(request("b", "a", "b", max_tokens=150), [made("c", 5.0), made("b", 0.0), made("a", -1.0)])
    assert names(chosen.files) == ["b", "a"]
    assert {file.included_as for file in chosen.files} == {"target"}
    assert chosen.total_tokens == 200
    assert chosen.truncated
    assert chosen.warnings == ("the targets alone need 200 tokens, where there is room for 150",)
    assert not select(request("b", "a", max_tokens=200), [made("b"), made("a")]).warnings


def test_no_rule_but_the_size_of_one_file_limits_targets() -> None:
    targets = [made(path, category="tests", sha256="same") for path in ("a", "b", "node_modules/c")]
    rules: dict[str, Any] = {"max_files": 1, "caps": Caps(tests=1), "ban": ("a",), "include_tests": False}
    chosen = select(request("a", "b", "node_modules/c", **rules), targets)
    assert names(chosen.tests) == ["a", "b", "node_modules/c"]
    assert not chosen.excluded
    (out,) = select(request("a", "b"), targets).excluded
    assert (out.path, out.reason) == ("node_modules/c", "banned")
    assert select(request("b", "a"), [*targets[:2], made("d", sha256="same")]).excluded[0].detail == "b"


def test_a_target_is_shown_in_the_largest_form_that_one_file_may_have() -> None:
    sizes = (Form(mode="outline", tokens=10), Form(mode="excerpt", tokens=100), Form(mode="full", tokens=9000))
    targets = [made("a", forms=sizes), made("b", forms=sizes[2:]), made("c", forms=sizes[:2])]
    chosen = select(request("a", "b", "c"), targets)
    assert {file.path: file.mode for file in chosen.files} == {"a": "excerpt", "b": "full", "c": "excerpt"}
    assert select(request("a", max_file_tokens=9000), targets).files[0].mode == "full"


def test_a_file_too_large_for_its_only_form_stays_out() -> None:
    chosen = select(request(), [made("a", tokens=8001), made("b", 0.5, tokens=8000)])
    assert (names(chosen.files), reasons(chosen)) == (["b"], {"a": "too_large"})


def test_targets_that_stay_out_are_told() -> None:
    chosen = select(
        request(".env", "gone", "logo", "a"), [made(".env"), made("a")], [ExcludedFile(path="logo", reason="binary")]
    )
    assert names(chosen.files) == ["a"]
    assert reasons(chosen) == {".env": "secret", "gone": "missing", "logo": "binary"}
    assert chosen.warnings == ("targets that are left out: 1 binary, 1 missing, 1 secret",)


def test_banned_files_stay_out() -> None:
    chosen = select(request(ban=("docs/**",), pin=("**",)), [made("docs/a"), made("x.pem"), made(".venv/x"), made("b")])
    assert names(chosen.files) == ["b"]
    assert reasons(chosen) == {"docs/a": "banned", "x.pem": "secret", ".venv/x": "banned"}


def test_pins_come_before_what_is_ranked_higher() -> None:
    given_files = [made("z", 9.0), made("pin/b", 0.0), made("pin/a", -1.0), made("t", 0.1)]
    chosen = select(request("t", pin=("pin/*",), max_tokens=300), given_files)
    assert [(file.path, file.included_as) for file in chosen.files] == [
        ("t", "target"),
        ("pin/b", "pin"),
        ("pin/a", "pin"),
    ]
    assert reasons(chosen) == {"z": "budget"}
    assert names(select(request("t", pin=("pin/*",), max_tokens=200), given_files).files) == ["t", "pin/a"]


def test_all_pins_come_in_before_any_grows() -> None:
    sizes = (Form(mode="outline", tokens=10), Form(mode="excerpt", tokens=20))
    chosen = select(request(pin=("*",), max_tokens=45), [made(path, forms=sizes) for path in "abcd"])
    assert {file.path: file.mode for file in chosen.files} == dict.fromkeys("abcd", "outline")


def test_caps_count_pins_and_targets_but_refuse_only_what_is_ranked() -> None:
    docs = [made(f"{number}.md", 10 - number, category="docs") for number in range(8)]
    chosen = select(request("6.md", caps=Caps(docs=3), pin=("7.md",)), [*docs, made("a", 0.1)])
    assert names(chosen.files) == ["6.md", "7.md", "0.md", "a"]
    assert chosen.excluded[0] == ExcludedFile(path="1.md", reason="cap", score=9.0, detail="docs")
    assert not chosen.truncated
    pinned = select(request(caps=Caps(docs=0), pin=("*.md",)), docs)
    assert len(pinned.files) == 8


def test_no_more_files_than_were_asked_for() -> None:
    given_files = [made("a", 0.9), made("b", 0.8), made("c", 0.7), made("p", 0.1)]
    chosen = select(request(max_files=2, pin=("p",)), given_files)
    assert names(chosen.files) == ["p", "a"]
    assert reasons(chosen) == {"b": "max_files", "c": "max_files"}
    assert chosen.truncated


def test_what_does_not_match_is_no_reason_to_call_it_truncated() -> None:
    chosen = select(request(max_files=1, pin=("a", "b")), [made("a", 0.0), made("b", 0.0)])
    assert reasons(chosen) == {"b": "max_files"}
    assert not chosen.truncated


def test_without_tests_not_even_pinned_ones_are_in() -> None:
    chosen = select(request(include_tests=False, pin=("t",)), [made("t", category="tests"), made("a")])
    assert (names(chosen.files), chosen.tests, reasons(chosen)) == (["a"], (), {"t": "tests"})


def test_the_same_content_is_in_once_by_the_first_that_came_in() -> None:
    same: dict[str, Any] = {"sha256": "same"}
    given_files = [
        made("a", 0.9, **same),
        made("b", 0.8, **same),
        made("t", 2.0, category="tests", **same),
        made("p", 0.1, **same),
    ]
    chosen = select(request(include_tests=False), given_files)
    assert names(chosen.files) == ["a"]
    assert chosen.excluded[1] == ExcludedFile(path="b", reason="duplicate", score=0.8, detail="a")
    assert reasons(chosen)["t"] == "tests"
    assert names(select(request("b", pin=("p",)), given_files).files) == ["b"]


def test_excluded_files_stand_once_targets_first_then_by_score() -> None:
    out = [ExcludedFile(path="x", reason="binary"), ExcludedFile(path="low", reason="banned", score=0.1)]
    chosen = select(request("zz", ban=("low", "high")), [made("low", 0.5), made("high", 0.9), made("a")], out)
    assert names(chosen.excluded) == ["zz", "high", "low", "x"]
    assert chosen.excluded[2].score == 0.5
    assert select(request(), [made("a")], [ExcludedFile(path="a", reason="binary")]).excluded == ()


def test_nothing_at_all() -> None:
    assert select(request(), []) == Selection((), (), (), 0, truncated=False, warnings=())
    assert reasons(select(request("a"), [made("a", forms=())])) == {"a": "too_large"}


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("edit", {}, 80_000),
        ("test", {}, 40_000),
        ("edit", {"window": 500}, 500),
        ("plan", {"max_tokens": 70, "window": 500}, 70),
    ],
)
def test_the_budget_is_of_the_task_or_asked_for_within_the_window(kind: TaskType, fields: Any, expected: int) -> None:
    asked = ContextRequest(task_type=kind, targets=("a",), settings=ContextSettings(max_file_tokens=10**6, **fields))
    (told,) = select(asked, [made("a", tokens=100_000)]).warnings
    assert told == f"the targets alone need 100000 tokens, where there is room for {expected}"


def test_a_margin_is_kept_back() -> None:
    assert names(select(request(max_tokens=200), [made("a", 2.0), made("b")], budget=199).files) == ["a"]
    assert names(select(request(max_tokens=200), [made("a", 2.0), made("b")], budget=200).files) == ["a", "b"]


# Properties: any candidates, any request.
POOL = [
    *(
        "a",
        "b",
        "c.py",
        "d/e.py",
        "d/f.md",
        "tests/t.py",
        "node_modules/x",
        ".env",
        "k.pem",
        ".git/config",
        "\udcff",
        "x\ny",
    ),
    *(f"src/{number}" for number in range(20)),
]
SCORES = st.sampled_from([0.0, 0.5, 1.0, -1.0]) | st.floats(-1, 2, allow_nan=False)
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        path=st.sampled_from(POOL),
        category=st.sampled_from(CATEGORIES),
        score=SCORES,
        breakdown=st.dictionaries(st.sampled_from(["lexical", "path", "churn"]), SCORES),
        size_bytes=st.integers(0, 3),
        sha256=st.sampled_from([f"s{number}" for number in range(30)]),
        forms=forms(),
    ),
    max_size=24,
    unique_by=lambda one: one.path,
)
CAPS = st.none() | st.integers(0, 4)
GLOBS = st.lists(st.sampled_from(["src/*", "src/1*", "d/**", "a", "**/*.py", "[", "**"]), max_size=2).map(tuple)
REQUESTS = st.builds(
    ContextRequest,
    targets=st.lists(st.sampled_from([*POOL, "gone"]), max_size=3).map(tuple),
    settings=st.builds(
        ContextSettings,
        max_tokens=st.integers(1, 60_000),
        max_files=st.integers(1, 20),
        max_file_tokens=st.integers(1, 20_000),
        caps=st.builds(Caps, code=CAPS, tests=CAPS, docs=CAPS, other=CAPS),
        pin=GLOBS,
        ban=GLOBS,
        include_tests=st.booleans(),
    ),
)


def both(selection: Selection) -> list[ManifestFile]:
    return [*selection.files, *selection.tests]


@given(REQUESTS, CANDIDATES)
def test_the_budget_is_exceeded_by_targets_alone(asked: ContextRequest, candidates: list[Candidate]) -> None:
    chosen = select(asked, candidates)
    targets = sum(file.tokens for file in both(chosen) if file.included_as == "target")
    assert chosen.total_tokens == sum(file.tokens for file in both(chosen)) <= max(asked.budget, targets)
    if targets > asked.budget:
        assert chosen.total_tokens == targets
        assert f"targets alone need {targets} tokens" in chosen.warnings[0]


@given(REQUESTS, CANDIDATES, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_is_nothing(asked: ContextRequest, candidates: list[Candidate], by: Any) -> None:
    mixed = list(candidates)
    by.shuffle(mixed)
    assert repr(select(asked, mixed)) == repr(select(asked, candidates))


@given(REQUESTS, CANDIDATES, st.integers(0, 60_000))
def test_a_larger_budget_never_shows_less(asked: ContextRequest, candidates: list[Candidate], more: int) -> None:
    less, wide = (select(asked, candidates, budget=asked.budget + extra) for extra in (0, more))
    sizes = {file.path: (MODES.index(file.mode), file.tokens) for file in both(wide)}
    assert all(sizes[file.path] >= (MODES.index(file.mode), file.tokens) for file in both(less))
    assert {one.path for one in less.excluded if one.reason != "budget"} == {
        one.path for one in wide.excluded if one.reason != "budget"
    }


@given(REQUESTS, CANDIDATES)
def test_rules_hold(asked: ContextRequest, candidates: list[Candidate]) -> None:
    chosen, rules = both(select(asked, candidates)), asked.settings
    free = [file for file in chosen if file.included_as != "target"]
    ranked = [file for file in chosen if file.included_as == "ranked"]
    counts = Counter(file.category for file in chosen)
    for category in {file.category for file in ranked}:
        cap = getattr(rules.caps, category)
        assert cap is None or counts[category] <= cap
    assert not free or len(chosen) <= rules.max_files
    assert all(not ban_of(file.path, rules.ban, is_target=file.included_as == "target") for file in chosen)
    assert rules.include_tests or all(file.category != "tests" for file in free)
    assert all(file.score > 0 for file in ranked)
    assert len({file.sha256 for file in free}) == len(free)
    assert {file.sha256 for file in free}.isdisjoint(file.sha256 for file in chosen if file.included_as == "target")
    assert all(file.mode != "full" or file.tokens <= rules.max_file_tokens for file in free)


@given(REQUESTS, CANDIDATES)
def test_every_candidate_and_target_is_in_or_out_once(asked: ContextRequest, candidates: list[Candidate]) -> None:
    chosen = select(asked, candidates)
    told = [*names(both(chosen)), *names(chosen.excluded)]
    assert sorted(told) == sorted({one.path for one in candidates} | set(asked.targets))
    scores = {one.path: rounded(one.score) for one in candidates}
    assert all(one.score == scores.get(one.path, 0.0) for one in chosen.excluded)
    for part in (chosen.files, chosen.tests):
        roles = [("target", "pin", "ranked").index(file.included_as) for file in part]
        keys = [(role, -file.score, file.size_bytes, file.path) for role, file in zip(roles, part, strict=True)]
        assert keys == sorted(keys)


@given(REQUESTS, CANDIDATES)
def test_all_targets_but_secrets_are_in(asked: ContextRequest, candidates: list[Candidate]) -> None:
    chosen = {file.path: file.included_as for file in both(select(asked, candidates))}
    for one in candidates:
        if one.path in asked.targets:
            assert (chosen.get(one.path) == "target") != (one.path in {".env", "k.pem", ".git/config"})


@given(REQUESTS, CANDIDATES)
def test_truncated_means_that_more_would_be_shown(asked: ContextRequest, candidates: list[Candidate]) -> None:
    chosen = select(asked, candidates)
    if not chosen.truncated:
        wide = structs.replace(asked, settings=structs.replace(asked.settings, max_files=1000))
        more = select(wide, candidates, budget=10**9)
        positive = {one.path for one in candidates if rounded(one.score) > 0}
        assert {file.path for file in both(more)} & positive == {file.path for file in both(chosen)} & positive
