"""The documents name every field, no other, with its true default; their examples load."""

import re
from pathlib import Path

import msgspec
import pytest

from branchline.config.load import load_graph, load_settings, plan_of
from branchline.config.settings import (
    Approvals,
    Merge,
    Planning,
    Repair,
    Resources,
    Review,
    Secrets,
    Settings,
    Setup,
    Ship,
)
from branchline.core.budget import Budget
from branchline.core.graph import Task, TaskFile
from branchline.core.model.agent_spec import BUILT_IN, AgentSpec, Output
from branchline.core.model.limits import ProcessLimits
from branchline.core.model.manifest import Caps, ContextSettings
from branchline.core.model.plan import Action, Plan, Scope, Workstream
from branchline.core.model.pricing import Price
from branchline.core.model.sandbox import SandboxSettings
from branchline.core.model.verdict import Gate
from branchline.core.retry import RetryPolicy

DOCS = Path(__file__).parents[3] / "docs"
CONFIGURATION, PLAN_FORMAT = (DOCS / "configuration.md").read_text(), (DOCS / "plan-format.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
SECTIONS: list[tuple[str, str, type[msgspec.Struct]]] = [
    (CONFIGURATION, "Settings", Settings), (CONFIGURATION, "gates", Gate), (CONFIGURATION, "agents", AgentSpec),
    (CONFIGURATION, "output", Output), (CONFIGURATION, "planning", Planning), (CONFIGURATION, "review", Review),
    (CONFIGURATION, "context", ContextSettings), (CONFIGURATION, "caps", Caps),
    (CONFIGURATION, "repair", Repair), (CONFIGURATION, "budget", Budget), (CONFIGURATION, "prices", Price),
    (CONFIGURATION, "setup", Setup), (CONFIGURATION, "retry", RetryPolicy), (CONFIGURATION, "resources", Resources), (CONFIGURATION, "limits", ProcessLimits),
    (CONFIGURATION, "sandbox", SandboxSettings), (CONFIGURATION, "secrets", Secrets),
    (CONFIGURATION, "approvals", Approvals), (CONFIGURATION, "merge", Merge), (CONFIGURATION, "ship", Ship), (PLAN_FORMAT, "Plan", Plan),
    (PLAN_FORMAT, "Workstream", Workstream), (PLAN_FORMAT, "Scope", Scope), (PLAN_FORMAT, "Action", Action),
    (PLAN_FORMAT, "TaskFile", TaskFile), (PLAN_FORMAT, "Task", Task),
]  # fmt: skip


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is msgspec.UNSET:
        return "absent"
    text = msgspec.json.encode(value).decode().replace(",", ", ")
    return "see below" if field.name == "protect" and value else f"`{text}`"


@pytest.mark.parametrize(("document", "heading", "model"), SECTIONS, ids=[heading for _, heading, _ in SECTIONS])
def test_a_table_tells_the_fields_and_their_defaults(document: str, heading: str, model: type[msgspec.Struct]) -> None:
    section = re.split(r"^#", document.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    told = {key: default for key, default, _ in ROW.findall(section)}
    assert told == {field.name: default_of(field) for field in msgspec.structs.fields(model)}


def test_every_protected_glob_is_told() -> None:
    assert [glob for glob in Settings(version=1).protect if f"`{glob}`" not in CONFIGURATION] == []


def test_every_built_in_agent_is_told() -> None:
    assert [name for name in BUILT_IN if f"`{name}`" not in CONFIGURATION] == []


def test_the_examples_load(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", CONFIGURATION + PLAN_FORMAT, re.DOTALL)
    for name, text in zip(("branchline.yaml", "plan.yaml", "graph.yaml"), examples, strict=True):
        (tmp_path / name).write_text(text)
    assert load_settings(None, root=tmp_path).ship.mode == "merge"
    assert plan_of(tmp_path / "plan.yaml", Settings(version=1, agent="codex")).goal == "Add greetings"
    assert len(load_graph(tmp_path / "graph.yaml").tasks) == 3


@pytest.mark.parametrize("page", sorted((DOCS / "agents").glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_of_the_agents_load(tmp_path: Path, page: Path) -> None:
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        (tmp_path / "branchline.yaml").write_text(f"version: 1\n{text.replace('version: 1', '')}")
        assert load_settings(None, root=tmp_path).agents
