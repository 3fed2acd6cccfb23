"""What the broker is asked for a planner, a workstream and a reviewer."""

from typing import Any

import pytest

from branchline.attempt.asking.context import MOST_TARGETS, edit_request, plan_request, review_request, window
from branchline.config.settings import Planning, Review, Settings
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.manifest import ContextSettings
from branchline.core.model.plan import Plan, Scope, Workstream

OWN = Workstream(
    id="a", title="Mend it", prompt="In src/x.py, mend it.\nSee docs/a.md.", scope=Scope(write=("src/**", "b.py"))
)
PLAN = Plan(version=1, goal="All is well", workstreams=(OWN,))
PATHS = {"src/x.py", "docs/a.md", "b.py", "src/y.py"}


def settings(**fields: Any) -> Settings:
    return Settings(version=1, **fields)


def test_a_workstream_is_asked_for_by_its_task_its_scope_and_the_files_it_names() -> None:
    asked = edit_request(settings(), PLAN, OWN, PATHS)
    assert asked.task_type == "edit"
    assert asked.text == "Mend it\n\nIn src/x.py, mend it.\nSee docs/a.md.\n\nAll is well"
    assert asked.targets == ("b.py", "src/x.py", "docs/a.md")
    assert asked.scope == ("src/**", "b.py")
    assert edit_request(settings(), PLAN, OWN, {"src/y.py"}).targets == (), "only what is there can be shown"


def test_what_went_wrong_counts_before_the_task() -> None:
    asked = edit_request(settings(), PLAN, OWN, PATHS, failure="## tests: E in y\n", targets=("src/y.py", "gone"))
    assert asked.text.startswith("Mend it\n\n## tests: E in y\n\nIn src/x.py")
    assert asked.targets == ("src/y.py", "b.py", "src/x.py", "docs/a.md")


def test_a_task_without_a_title_begins_with_its_first_line_and_nothing_is_said_twice() -> None:
    bare = Workstream(id="a", prompt="Mend it\nnow", scope=Scope(write=("x",)))
    assert edit_request(settings(), PLAN, bare, ()).text == "Mend it\n\nMend it\nnow\n\nAll is well"
    assert edit_request(settings(), PLAN, Workstream(id="a"), ()).text == "All is well"


def test_targets_are_few() -> None:
    many = tuple(f"src/m{number}.py" for number in range(100))
    assert edit_request(settings(), PLAN, OWN, set(many), targets=many).targets == many[:MOST_TARGETS]
    assert review_request(settings(), PLAN, OWN, many).targets == many[:MOST_TARGETS]


def test_a_planner_and_a_reviewer_are_asked_for_with_budgets_of_their_own() -> None:
    known = settings(context=ContextSettings(pin=("p/*",), max_files=7))
    plan = plan_request(known, "Do it")
    assert (plan.task_type, plan.text, plan.budget) == ("plan", "Do it", 100_000)
    assert plan.settings.pin == ("p/*",)
    assert plan.settings.max_files == 7
    review = review_request(known, PLAN, OWN, ("src/x.py",))
    assert (review.task_type, review.targets, review.budget) == ("analyze", ("src/x.py",), 150_000)
    assert review.scope == ()


SPECS = (
    AgentSpec(id="small", use="claude_code", window=9000),
    AgentSpec(id="first", use="claude_code", fallback=("second",)),
    AgentSpec(id="second", command=("second",), window=20_000),
)


@pytest.mark.parametrize(
    ("agent", "tokens"),
    [("aider", 80_000), ("claude_code", 150_000), ("codex", None), ("small", 9000), ("first", 20_000), ("?", None)],
)
def test_the_window_is_the_smallest_of_whoever_may_answer(agent: str, tokens: int | None) -> None:
    assert window(settings(agents=SPECS), agent) == tokens


def test_the_window_of_the_settings_counts_too_and_caps_the_budget() -> None:
    known = settings(agents=SPECS, agent="first", context=ContextSettings(window=30_000))
    assert edit_request(known, PLAN, OWN, ()).budget == 20_000
    assert edit_request(known, PLAN, OWN, (), agent="codex").budget == 30_000
    assert plan_request(settings(agents=SPECS, agent="first", planning=Planning(agent="small")), "x").budget == 9000
    assert review_request(settings(agents=SPECS, review=Review(agent="small")), PLAN, OWN, ()).budget == 9000
