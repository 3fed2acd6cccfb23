"""`costs`, `show` and `doctor` on a real run: an agent of one's own falls back to another."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import SEAM, Project, workstream

RUN = SEAM["BRANCHLINE_RUN_ID"]
TASK = "task_005_execute_a"
AGENT = 'read line; printf \'%s %s|\' "$line" "$MARK" >> out.txt; echo \'{"in": 1200, "out": 30, "usd": 0.25}\''
OUTPUT = {"format": "jsonl", "input_tokens": "$.in", "output_tokens": "$.out", "cost_usd": "$.usd"}
WORKS = {"id": "works", "command": ["sh", "-c", AGENT, "x\u00e9\n\u0007"], "stdin": "{prompt}", "model": "m-1"}
FAILS = {"id": "fails", "command": ["sh", "-c", "exit 3"], "fallback": ["works"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run of one workstream: its agent fails, and the fallback works."""
    made = Project.make(tmp_path_factory.mktemp("made") / "project", {"README.md": "# x\n"})
    works = {**WORKS, "env": {"MARK": "it's fixed", "MY_API_KEY": "${env:MY_API_KEY}"}, "output": OUTPUT}
    made.env["MY_API_KEY"] = "hidden-value"
    settings = {"agent": "fails", "agents": [FAILS, works]}
    stream = {"id": "a", "prompt": "Do it", "scope": {"write": ["**"]}}
    ran = made.run({"workstreams": [stream]}, settings, **SEAM)
    assert ran.code == 0, ran.err
    return made


def test_costs(project: Project) -> None:
    found = project.branchline("costs", "--json").json
    assert found["total"]["cost_usd"] == {"known": 0.25, "unknown_attempts": 1}
    assert found["total"]["sources"] == {"agent": 0.25}
    assert [share["name"] for share in found["agents"]] == ["fails", "works m-1"]
    assert [(call["agent"], call["task_id"]) for call in found["unknown"]] == [("fails", TASK)]
    assert found["limits"] == []
    assert "$0.25 (agent), unknown for 1 attempt" in project.branchline("costs").out


def test_costs_of_a_plain_graph_are_refused(place: Any) -> None:
    said = place.call("costs")
    assert (said.code, said.out) == (2, "")
    assert "called no agents" in said.err


def test_show_and_the_recap_name_costs_and_agents(project: Project) -> None:
    assert "$0.25 (agent), unknown for 1 attempt" in project.branchline("show").out
    assert project.branchline("show", "--json").json["costs"]["attempts"] == 2


def test_show_names_the_scripts_that_run_the_agents_again(project: Project) -> None:
    scripts = project.branchline("show", RUN, TASK, "--json").json["rounds"][0]["attempts"][0]["commands"]
    assert [Path(script).parent.name for script in scripts] == [f"{TASK}.1", "agent-2"]
    lines = [line.split() for line in project.branchline("show", RUN, TASK).out.splitlines()]
    assert [line[2] for line in lines if line[:2] == ["by", "hand"]] == scripts
    text = Path(scripts[1]).read_text()
    assert "hidden-value" not in text
    workspace = Path(shlex.split(text[text.index("\ncd ") :])[1])
    workspace.mkdir(parents=True)
    again = subprocess.run([scripts[1]], env={**os.environ, "MY_API_KEY": "x"}, capture_output=True, check=True)
    assert json.loads(again.stdout)["in"] == 1200
    assert (workspace / "out.txt").read_text() == project.show(f"integration/{RUN}", "out.txt")
    shutil.rmtree(workspace)


def found_by_doctor(project: Project, settings: dict[str, Any], *args: str) -> dict[str, dict[str, Any]]:
    (project.root / "branchline.yaml").write_text(json.dumps({"version": 1, **settings}))
    ran = project.branchline("doctor", "--json", *args)
    (project.root / "branchline.yaml").unlink()
    findings: list[dict[str, Any]] = json.loads(ran.out)
    return {finding["name"]: finding for finding in findings}


def test_doctor_looks_at_the_agents_that_a_run_would_call(project: Project) -> None:
    absent = {"id": "absent", "command": ["no-such-program-here"], "install": "get it"}
    found = found_by_doctor(project, {"agent": "absent", "agents": [absent, WORKS]})
    assert (found["agent absent"]["state"], found["agent absent"]["next"]) == ("missing", "get it")
    assert "agent works" not in found
    assert "works" in found["other agents"]["detail"]


def test_doctor_forgives_what_has_a_fallback(project: Project) -> None:
    absent = {"id": "absent", "command": ["no-such-program-here"], "fallback": ["works"]}
    found = found_by_doctor(project, {"agent": "absent", "agents": [absent, WORKS]})
    assert found["agent absent"]["state"] == "warning"
    assert found["agent works"]["state"] == "ok"
    assert found["agent works"]["detail"].startswith("instead of absent: ")


def test_doctor_tells_of_a_missing_key(project: Project) -> None:
    keyed = {**WORKS, "key_env": "NO_SUCH_KEY_HERE"}
    found = found_by_doctor(project, {"agent": "works", "agents": [keyed]})["agent works"]
    assert (found["state"], found["next"]) == ("warning", "export NO_SUCH_KEY_HERE=...")
    assert "no key" in found["detail"]


def test_doctor_reads_a_plan(project: Project, tmp_path: Path) -> None:
    absent = {"id": "absent", "command": ["no-such-program-here"]}
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps({"version": 1, "workstreams": [workstream("a", agent="absent")]}))
    found = found_by_doctor(project, {"agents": [absent]}, "--plan", str(plan))
    assert found["agent absent"]["state"] == "missing"
    assert "agent scripted" not in found


def test_init_writes_the_agent_that_is_installed(tmp_path: Path) -> None:
    made = Project.make(tmp_path / "project")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "sh", "bash", "env", "uname"):
        path = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (tools / name).symlink_to(path)
    none = made.branchline("init", "--json", PATH=str(tools))
    assert none.json["agent"] is None
    assert "\n# agent: " in (made.root / "branchline.yaml").read_text()
    assert made.branchline("run", "--plan", "plan.yaml", "--yes").code == 0
    for name in ("branchline.yaml", "plan.yaml"):
        (made.root / name).unlink()
    (tools / "codex").write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
    (tools / "codex").chmod(0o755)
    assert made.branchline("init", "--json", PATH=str(tools)).json["agent"] == "codex"
    text = (made.root / "branchline.yaml").read_text()
    assert "\nagent: codex\n#   claude_code" in text
    assert made.branchline("doctor", "--json", PATH=str(tools)).code == 0
