from pathlib import Path
from typing import Any

import pytest

from branchline.cli.commands.run import Given
from branchline.cli.plans import lines, settings_for
from branchline.config.settings import Settings
from branchline.core.plan import Plan, Scope, Workstream
from branchline.errors import InvalidInput


def given(**fields: Any) -> Given:
    nothing: dict[str, Any] = dict.fromkeys(
        ("prompt", "plan", "graph", "base", "agent", "ship", "config", "max_parallel")
    )
    return Given(**{**nothing, "repo": Path(), "yes": True, "as_json": False, **fields})


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
    assert caught.value.hint == "--agent scripted|mine"


def test_the_plan_is_shown_in_the_order_of_merging() -> None:
    def make(name: str, **fields: Any) -> Workstream:
        return Workstream(id=name, scope=Scope(write=(f"{name}/**",)), **fields)

    plan = Plan(
        version=1,
        goal="Do it",
        workstreams=(make("a", depends_on=("z",)), make("b", priority=5), make("z", agent="me")),
    )
    shown = lines(plan, Settings(version=1))
    assert shown[0] == "Do it"
    assert "no gates: nothing will be checked" in shown[1]
    assert [line.split()[1] for line in shown[4:]] == ["b", "z", "a"]
    assert shown[5].split() == ["2", "z", "me", "z/**"]
