"""The context broker in whole runs: every call of an agent has its manifest, kept before the agent starts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import SEAM, Json, Project, Ran, gate, sh, workstream, write

PARSER = '''"""Reading numbers."""


class Parser:
    """Takes text apart."""

    def parse_number(self, text: str) -> int:
        """The number that a text holds."""
        return int(text)
'''
FILES = {
    "src/parser.py": PARSER,
    "src/painter.py": "from src.parser import Parser\n\n\ndef paint_colour(name: str) -> str:\n    return name\n",
    "src/far.py": "def unrelated() -> None:\n    return None\n",
    "tests/test_parser.py": "from src.parser import Parser\n\n\ndef test_parse_number() -> None:\n    assert Parser()\n",
    "README.md": "# A project\n",
}
MENTION = "Let parse_number of the parser take blanks."


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p", FILES)


def calls(project: Project) -> list[Json]:
    return [record["context"] for record in project.records() if record["event"] == "agent_called"]


def manifest_of(ran: Ran, call: Json) -> Any:
    return json.loads((Path(ran.json["run_dir"]) / "artifacts" / "manifests" / f"{call['manifest']}.json").read_bytes())


def paths(manifest: Json, key: str = "files") -> list[str]:
    return [file["path"] for file in manifest[key]]


def request(ran: Ran, task: str) -> Any:
    return json.loads(next(Path(ran.json["run_dir"]).glob(f"attempts/{task}.1/request.json")).read_text())


def test_a_workstream_is_given_its_manifest_before_its_agent_starts(project: Project) -> None:
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"), prompt=MENTION)]})
    assert ran.code == 0, ran.err
    (call,) = calls(project)
    manifest = manifest_of(ran, call)
    work = json.loads(next(Path(ran.json["run_dir"]).glob("attempts/task_*_execute_a.1/work.json")).read_bytes())
    assert work["asked"]["given"]["manifest"] == call["manifest"], "work.json is written before the agent starts"
    assert (call["context_files"], call["context_tokens"]) == (manifest["total_files"], manifest["total_tokens"])
    assert paths(manifest)[0] == "src/parser.py"
    assert paths(manifest, "tests") == ["tests/test_parser.py"]
    asked = request(ran, "task_*_execute_a")
    assert asked["manifest"] == call["manifest"]
    assert asked["context"][0]["path"] == "src/parser.py"
    assert asked["context"][0]["role"] == "edit"
    assert "\n- src/parser.py" in asked["prompt"]


def test_people_are_told_what_an_agent_was_given(project: Project) -> None:
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"), prompt=MENTION)]})
    (call,) = calls(project)
    size = f"{call['context_files']} files of {call['context_tokens']:,} tokens"
    run_id = ran.json["run_id"]
    task = next(r["task_id"] for r in project.records() if r["event"] == "agent_called")
    assert f"given {size}" in project.branchline("log", run_id).out
    assert call["manifest"] in "".join(project.branchline("show", run_id, task).out.split())
    shown = project.branchline("show", run_id, task, "--json").json["rounds"][0]["calls"][0]
    assert (shown["manifest"], shown["context_files"]) == (call["manifest"], call["context_files"])
    report = (Path(ran.json["run_dir"]) / "artifacts" / "report.md").read_text()
    assert f"`{call['manifest']}`" in report


def test_a_repair_is_asked_for_anew_with_what_failed(project: Project) -> None:
    bad = write("a.txt", "BAD\n")
    plan = {"workstreams": [workstream("a", bad, write=["a.txt"], repair_scripts=[[write("a.txt", "ok\n")]])]}
    complain = "grep -q BAD a.txt && echo 'error in paint_colour: no such colour' && exit 1; true"
    ran = project.run(plan, {"gates": [gate("paint", complain)]})
    assert ran.code == 0, ran.err
    first, again = (manifest_of(ran, call) for call in calls(project))
    assert "src/painter.py" not in paths(first), "nothing but the failure tells of it"
    assert paths(again)[:2] == ["a.txt", "src/painter.py"]
    assert again["selection_params"]["target_files"] == ["a.txt"], "what was rejected is to be seen"


def test_the_files_of_a_conflict_are_given_whatever_they_cost(project: Project) -> None:
    plan = {
        "workstreams": [
            workstream("a", write("README.md", "of a\n")),
            workstream("b", write("README.md", "of b\n"), write=["b/**", "README.md"], repair_scripts=[[write("README.md", "both\n")]]),
        ]
    }  # fmt: skip
    ran = project.run(plan, {"merge": {"on_conflict": "repair"}})
    assert ran.code == 0, ran.err
    last = calls(project)[-1]
    assert (last["workstream"], last["round"]) == ("b", 2)
    assert manifest_of(ran, last)["selection_params"]["target_files"] == ["README.md"]


def test_a_reviewer_is_given_what_was_changed(project: Project) -> None:
    critic = {"id": "critic", "use": "scripted", "scripts": [[{"answer": {"summary": "Fine.", "findings": []}}]]}
    change = {"edit": {"path": "src/painter.py", "old": "return name", "new": "return name.lower()"}}
    ran = project.run({"workstreams": [workstream("a", change)]}, {"agents": [critic], "review": {"agent": "critic"}})
    assert ran.code == 0, ran.err
    call = next(call for call in calls(project) if call["role"] == "reviewer")
    params = manifest_of(ran, call)["selection_params"]
    assert (params["task_type"], params["target_files"]) == ("analyze", ["src/painter.py"])


def test_settings_and_the_agents_window_cap_what_is_given(project: Project) -> None:
    settings = {
        "context": {"max_files": 1},
        "agents": [{"id": "small", "use": "scripted", "window": 40, "scripts": []}],
    }
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n"), prompt=MENTION, agent="small")]}
    ran = project.run(plan, settings)
    assert ran.code == 0, ran.err
    params = manifest_of(ran, calls(project)[0])["selection_params"]
    assert (params["max_tokens"], params["max_files"]) == (40, 1)


def test_a_glob_that_is_none_is_told_before_anything_begins(project: Project) -> None:
    ran = project.run({"workstreams": [workstream("a")]}, {"context": {"ban": ["../x"]}})
    assert ran.code == 2
    assert "../x" in ran.err
    assert not (project.root / ".runs").exists()


def test_a_workstream_without_a_scope_may_write_what_is_not_protected_and_the_plan_says_so(project: Project) -> None:
    plan_file, config = project.request(
        {"workstreams": [{"id": "a", "prompt": MENTION, "script": [write("new/x.txt", "x\n")]}]},
        {"repair": {"rounds": 0}},
    )
    ran = project.branchline("run", "--plan", str(plan_file), "--config", str(config), "--json")
    assert ran.code == 0, ran.err
    assert "warning: workstream a has no scope: it may write every file that is not protected" in ran.err
    assert project.show(ran.json["integration"]["branch"], "new/x.txt") == "x\n"
    barred = {"approvals": {"protected": "reject"}, "repair": {"rounds": 0}}
    guarded = project.run({"workstreams": [{"id": "a", "script": [write(".husky/x", "x\n")]}]}, barred)
    assert guarded.code == 1
    assert "protected path" in guarded.err


def planned(*streams: Json, **settings: Any) -> Json:
    answer = {"goal": "change both", "workstreams": list(streams)}
    return {
        "version": 1,
        "agent": "worker",
        "agents": [
            {"id": "planner", "use": "scripted", "scripts": [[{"answer": answer}]]},
            {"id": "worker", "use": "scripted", "scripts": [[write("src/parser.py", "x = 1\n")]]},
        ],
        "planning": {"agent": "planner"},
        **settings,
    }


def stream(name: str, prompt: str, *scope: str) -> Json:
    return {"id": name, "title": "", "prompt": prompt, "depends_on": [], "write": list(scope), "protect": []}


def test_a_planner_may_leave_scopes_open_and_is_given_a_manifest(project: Project) -> None:
    config = project.root.parent / "config.json"
    config.write_text(json.dumps(planned(stream("a", MENTION))))
    told = project.branchline("plan", MENTION, "--config", str(config), "--json")
    assert told.code == 0, told.err
    assert "write" not in told.json["plan"]["workstreams"][0].get("scope", {})
    assert told.json["warnings"][0] == "workstream a has no scope: it may write every file that is not protected"
    (call,) = calls(project)
    assert call["role"] == "planner"
    folder = project.root / ".runs" / told.json["run_id"]
    manifest = json.loads((folder / "artifacts" / "manifests" / f"{call['manifest']}.json").read_bytes())
    assert (manifest["selection_params"]["task_type"], paths(manifest)[0]) == ("plan", "src/parser.py")
    assert "\n- src/parser.py" in (folder / call["folder"] / "prompt.md").read_text()


def test_collisions_are_foreseen_when_a_plan_is_made(project: Project) -> None:
    config = project.root.parent / "config.json"
    both = [stream("a", MENTION, "src/**"), stream("b", f"Also: {MENTION}", "src/*.py")]
    config.write_text(json.dumps(planned(*both)))
    told = project.branchline("plan", MENTION, "--config", str(config), "--json")
    (collision,) = told.json["collisions"]
    assert (collision["a"], collision["b"], collision["paths"][0]) == ("a", "b", "src/parser.py")
    assert collision["risk"] > 0.5
    run_id = told.json["run_id"]
    assert "a and b may collide" in project.branchline("log", run_id).out
    waiting = project.branchline("run", MENTION, "--config", str(config), BRANCHLINE_RUN_ID="T")
    assert waiting.code == 4
    assert "Likely to change the same files" in waiting.err
    assert project.branchline("resume", "T", "--json").json["collisions"] == [collision]


def test_a_plan_that_is_given_is_looked_at_too(project: Project) -> None:
    streams = [workstream(name, prompt=MENTION, write=["src/**"]) for name in ("a", "b")]
    plan_file, config = project.request({"workstreams": streams})
    ran = project.branchline("run", "--plan", str(plan_file), "--config", str(config))
    assert "Likely to change the same files\n  a, b" in ran.err


def test_an_attempt_that_is_taken_up_again_is_given_the_same(project: Project, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    wait = sh(f"if test -e {hold}; then touch {tmp_path}/started; sleep 60; fi")
    plan_file, config = project.request({"workstreams": [workstream("a", wait, write("a.txt", "a\n"), prompt=MENTION)]})
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", "run", "--plan", str(plan_file), "--config", str(config), "--yes"],
        cwd=project.root,
        env={**os.environ, **SEAM},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hold.unlink()
    ran = project.branchline("resume", "--json")
    assert ran.code == 0, ran.err
    folders = sorted(Path(ran.json["run_dir"]).glob("attempts/*_execute_a.1*"))
    before, after = (json.loads((folder / "request.json").read_text()) for folder in folders)
    assert len(folders) == 2
    assert before["manifest"] == after["manifest"] == calls(project)[-1]["manifest"]
    assert before["context"] == after["context"]


def test_an_index_that_cannot_be_used_stops_nothing(project: Project) -> None:
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n"), prompt=MENTION)]}
    assert project.run(plan).code == 0
    healthy = calls(project)[0]
    (index,) = (project.root / ".git" / "branchline").glob("context-*.sqlite")
    index.unlink()
    index.mkdir()
    again = project.run(plan, None, BRANCHLINE_RUN_ID="AGAIN")
    assert again.code == 0, again.err
    broken = next(r["context"] for r in project.records("AGAIN") if r["event"] == "agent_called")
    assert broken["manifest"] == healthy["manifest"], "where the index lies does not matter"
