from pathlib import Path
from typing import Any

import pytest

from branchline.cli.asking import plan_lines
from branchline.cli.options import Given
from branchline.cli.plans import settings_for
from branchline.config.settings import Settings
from branchline.core.budget import Budget
from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.errors import InvalidInput


def given(**fields: Any) -> Given:
    return Given(repo=Path(), **fields)


def test_flags_count_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "branchline.yaml").write_text("version: 1\nmax_parallel: 7\nship: {mode: merge, tag: ''}\n")
    assert settings_for(tmp_path, given()).max_parallel == 7
    changed = settings_for(tmp_path, given(max_parallel=2, ship="branch"))
    assert (changed.max_parallel, changed.ship.mode, changed.ship.tag) == (2, "branch", "")


def test_branchline_yaml_counts_before_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.branchline]\nversion = 1\nmax_parallel = 3\n")
    assert settings_for(tmp_path, given()).max_parallel == 3
    (tmp_path / "branchline.yaml").write_text("version: 1\nmax_parallel: 7\n")
    assert settings_for(tmp_path, given()).max_parallel == 7


def test_the_agent_must_exist(tmp_path: Path) -> None:
    (tmp_path / "branchline.yaml").write_text("version: 1\nagents: [{id: mine, command: [mine]}]\n")
    assert settings_for(tmp_path, given(agent="mine")).agent == "mine"
    with pytest.raises(InvalidInput, match="no agent 'other'") as caught:
        settings_for(tmp_path, given(agent="other"))
    assert caught.value.hint.startswith("--agent mine|scripted|claude_code|")
    assert settings_for(tmp_path, given(agent="codex", planner="mine")).planning.agent == "mine"
    with pytest.raises(InvalidInput, match="no agent 'other'") as caught:
        settings_for(tmp_path, given(planner="other"))
    assert caught.value.hint.startswith("--planner mine|")


def test_the_plan_is_shown_in_the_order_of_merging() -> None:
    def make(name: str, **fields: Any) -> Workstream:
        return Workstream(id=name, scope=Scope(write=(f"{name}/**",)), **fields)

    plan = Plan(
        version=1,
        goal="Do it",
        workstreams=(make("a", depends_on=("z",)), make("b", priority=5), make("z", agent="me")),
    )
    shown = plan_lines(plan, Settings(version=1), Budget())
    assert shown[0] == "Do it"
    assert "no gates: nothing will be checked" in shown[1]
    assert [line.split()[1] for line in shown[4:]] == ["b", "z", "a"]
    assert shown[5].split() == ["2", "z", "me", "z/**"]


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (Budget(run=5), "  it may spend at most $5.00 before any repair"),
        (Budget(run=5, attempt=2), "  it may spend at most $4.00 before any repair"),
        (Budget(day=3, workstream=9, attempt=2), "  it may spend at most $3.00 before any repair"),
    ],
)
def test_the_plan_is_shown_with_what_it_may_cost(budget: Budget, told: str) -> None:
    streams = tuple(Workstream(id=name, scope=Scope(write=(name,))) for name in ("a", "b"))
    plan = Plan(version=1, goal="", workstreams=streams)
    shown = plan_lines(plan, Settings(version=1), budget)
    assert shown[0] == "A plan without a goal"
    assert shown[2] == told
    assert told not in plan_lines(plan, Settings(version=1), Budget())


def test_a_budget_of_the_command_line_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "branchline.yaml").write_text("version: 1\nbudget: {run: 1, attempt: 0.5}\n")
    assert settings_for(tmp_path, given(budget=7)).budget == Budget(run=7, attempt=0.5)
