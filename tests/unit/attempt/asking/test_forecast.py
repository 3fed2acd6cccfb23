"""Which workstreams of a plan are likely to collide."""

from collections.abc import Mapping
from typing import Any

from branchline.attempt.asking.context import MOST_WORKSTREAMS, collisions
from branchline.config.settings import Settings
from branchline.core.model.forecast import Collision
from branchline.core.model.manifest import ContextRequest, Manifest
from branchline.core.model.plan import Plan, Scope, Workstream
from unit.attempt.asking.test_conventions import file, manifest

SETTINGS = Settings(version=1)


def foreseen(answers: Mapping[str, Manifest], plan: Plan) -> tuple[Collision, ...]:
    """Collisions by a broker that answers by the first word of a task."""

    def ask(request: ContextRequest) -> Manifest:
        return answers.get(request.text.split()[0], manifest())

    return collisions(SETTINGS, plan, frozenset(), ask)


def workstream(name: str, prompt: str, **fields: Any) -> Workstream:
    return Workstream(id=name, prompt=prompt, scope=Scope(write=("src/**",)), **fields)


def test_workstreams_that_are_after_the_same_files_are_likely_to_collide() -> None:
    answers = {"One": manifest(file("src/x.py"), file("src/y.py")), "Two": manifest(file("src/x.py"), file("docs/z"))}
    plan = Plan(version=1, workstreams=(workstream("a", "One"), workstream("b", "Two"), workstream("c", "Three")))
    (found,) = foreseen(answers, plan)
    assert (found.a, found.b, found.paths) == ("a", "b", ("src/x.py",))
    assert found.risk == 1.0
    chained = Plan(version=1, workstreams=(workstream("a", "One"), workstream("b", "Two", depends_on=("a",))))
    assert foreseen(answers, chained) == ()


def test_nobody_looks_ahead_for_very_many() -> None:
    many = tuple(workstream(f"w{number}", "One") for number in range(MOST_WORKSTREAMS + 1))
    answers = {"One": manifest(file("src/x.py"))}
    assert foreseen(answers, Plan(version=1, workstreams=many)) == ()
    assert foreseen(answers, Plan(version=1, workstreams=many[:-1]))


def test_without_a_scope_all_that_fits_the_task_counts() -> None:
    answers = {"One": manifest(file("src/x.py"), file("docs/z")), "Two": manifest(file("docs/z"))}
    plan = Plan(version=1, workstreams=(workstream("a", "One"), Workstream(id="b", prompt="Two")))
    assert foreseen(answers, plan) == ()
    open_too = Plan(version=1, workstreams=(Workstream(id="a", prompt="One"), Workstream(id="b", prompt="Two")))
    assert [one.paths for one in foreseen(answers, open_too)] == [("docs/z",)]
