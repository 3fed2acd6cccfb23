"""Scopes that a plan leaves open, and which workstreams are likely to collide."""

from collections.abc import Mapping
from typing import Any

import pytest

from branchline.attempt.scoping import MOST_CODE, MOST_WORKSTREAMS, Survey, made_scopes
from branchline.config.settings import Settings
from branchline.core.model.manifest import ContextRequest, Manifest
from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.rules.globs import matches
from branchline.errors import InvalidInput
from unit.attempt.test_conventions import file, manifest

OPEN = Workstream(id="a", prompt="Mend the parser; write new/notes.md and tell of v1.2, os.path and ../up.py.")


def survey(answers: Mapping[str, Manifest], *paths: str, **settings: Any) -> Survey:
    """One whose broker answers by the first word of a task."""

    def ask(request: ContextRequest) -> Manifest:
        return answers.get(request.text.split()[0], manifest())

    return Survey(Settings(version=1, **settings), frozenset(paths), ask)


def scope_of(found: Manifest, *paths: str, workstream: Workstream = OPEN, **settings: Any) -> tuple[str, ...]:
    plan = Plan(version=1, workstreams=(workstream,))
    return survey({"Mend": found}, *paths, **settings).scoped(plan).workstreams[0].scope.write


def test_an_open_scope_is_the_best_code_with_its_tests_and_what_is_to_be_made() -> None:
    code = (file("src/b/parse.py", score=2.0), file("src/lex.py", score=0.6), file("src/far.py", score=0.4))
    found = manifest(*code, file("docs/parse.md", category="docs", score=1.9))
    near, others = "tests/b/test_parse.py", ("tests/a/test_parse.py", "tests/z/test_parse.py", "tests/test_far.py")
    assert scope_of(found, *others, near, "test/LexTest.java", "src/parse.md") == (
        *("new/notes.md", "src/b/parse.py", "src/lex.py"),
        *(near, "tests/a/test_parse.py", "test/LexTest.java"),
    )


def test_files_that_the_task_names_are_in_whatever_they_are() -> None:
    named = file("docs/guide.md", category="docs", included_as="target", score=0.0)
    test = file("t/test_z.py", category="tests", included_as="target", score=0.0)
    found = manifest(named, file("a.py"), tests=(test, file("t/test_y.py", category="tests")))
    assert scope_of(found, "docs/guide.md", "new/notes.md") == ("docs/guide.md", "a.py", "t/test_z.py")


def test_without_code_the_best_of_what_there_is() -> None:
    found = manifest(file("a.md", category="docs", score=3.0), file("b.md", category="docs", score=0.1))
    assert scope_of(found, "new/notes.md") == ("a.md",)


def test_a_scope_that_is_made_is_small_and_holds_nothing_protected() -> None:
    files = [file(f"src/m{number}.py", score=9.0) for number in range(30)]
    assert len(scope_of(manifest(*files), "new/notes.md")) == MOST_CODE
    odd = manifest(file("pages/[id]*.ts"), file("a\nb.py"), file(".husky/x.py"), file("src/key.py"))
    own = Workstream(id="a", prompt="Mend it", scope=Scope(protect=("src/key.py",)))
    assert scope_of(odd, workstream=own) == ("pages/[[]id][*].ts",)
    assert matches("pages/[[]id][*].ts", "pages/[id]*.ts")
    assert ".husky/x.py" in scope_of(odd, workstream=own, allow_protected=(".husky/x.py",))


def test_a_scope_that_is_given_stays_and_one_for_which_nothing_fits_is_refused() -> None:
    kept = Workstream(id="b", prompt="Other", scope=Scope(write=("b.py",)))
    plan = Plan(version=1, workstreams=(OPEN, kept))
    made = survey({"Mend": manifest(file("a.py"))}, "new/notes.md").scoped(plan)
    assert made.workstreams[1] == kept
    assert made_scopes(plan, made) == ("workstream a has no scope; by its task it may write a.py",)
    with pytest.raises(InvalidInput, match="workstream a has no scope, and no file") as caught:
        survey({}, "new/notes.md").scoped(plan)
    assert "scope: {write: [...]}" in caught.value.hint


def workstream(name: str, prompt: str, **fields: Any) -> Workstream:
    return Workstream(id=name, prompt=prompt, scope=Scope(write=("src/**",)), **fields)


def test_workstreams_that_are_after_the_same_files_are_likely_to_collide() -> None:
    answers = {"One": manifest(file("src/x.py"), file("src/y.py")), "Two": manifest(file("src/x.py"), file("docs/z"))}
    plan = Plan(version=1, workstreams=(workstream("a", "One"), workstream("b", "Two"), workstream("c", "Three")))
    (found,) = survey(answers).collisions(plan)
    assert (found.a, found.b, found.paths) == ("a", "b", ("src/x.py",))
    assert found.risk == 1.0
    chained = Plan(version=1, workstreams=(workstream("a", "One"), workstream("b", "Two", depends_on=("a",))))
    assert survey(answers).collisions(chained) == ()


def test_nobody_looks_ahead_for_very_many() -> None:
    many = tuple(workstream(f"w{number}", "One") for number in range(MOST_WORKSTREAMS + 1))
    answers = {"One": manifest(file("src/x.py"))}
    assert survey(answers).collisions(Plan(version=1, workstreams=many)) == ()
    assert survey(answers).collisions(Plan(version=1, workstreams=many[:-1]))


def test_each_question_is_asked_once() -> None:
    asked = []

    def ask(request: ContextRequest) -> Manifest:
        asked.append(request)
        return manifest(file("src/x.py"))

    plan = Plan(version=1, workstreams=(workstream("a", "One"), workstream("b", "Two")))
    one = Survey(Settings(version=1), frozenset(), ask)
    assert one.collisions(plan) == one.collisions(plan)
    assert len(asked) == 2
