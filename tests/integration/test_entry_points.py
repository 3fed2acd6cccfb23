"""An agent that an installed package brings: found by its name, listed, run; a broken one is told of and harms nobody."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support import Json, Project, Ran
from witness import assert_untouched, see

ADAPTER = """
import sys
from dataclasses import dataclass
from branchline.agents.base import Probe
from branchline.core.model.agent import AgentResult, AgentStatus, Invocation, Progress


class Reader:
    progress = Progress(doing="think")

    def __init__(self):
        self.words = []

    def line(self, data):
        self.words.append(data.decode())

    def result(self, ended, stderr):
        return AgentResult(status=AgentStatus.OK if ended.ok else AgentStatus.CRASHED, notes=" ".join(self.words))


@dataclass
class Adapter:
    spec: object
    abilities: frozenset = frozenset({"edit"})
    provider: str = ""

    def probe(self):
        return Probe(available=True, path="/somewhere/theirs", version="3.2.1", tested=True)

    def prepare(self, request):
        return Invocation(argv=(sys.executable, "-c", "open('x.txt', 'w').write('x\\\\n'); print('done')"))

    def reader(self, request):
        return Reader()


def no_argument():
    return Adapter(None)


def not_an_agent(spec):
    return "not an agent"


def raising(spec):
    raise ValueError("it does not like that specification")


def bad_probe(spec):
    made = Adapter(spec)
    made.probe = lambda: 1 / 0
    return made


def bad_prepare(spec):
    made = Adapter(spec)
    made.prepare = lambda request: 1 / 0
    return made


def bad_reader(spec):
    made = Adapter(spec)
    made.reader = lambda request: 1 / 0
    return made


def bad_line(spec):
    made = Adapter(spec)
    made.reader = lambda request: BadLine()
    return made


class BadLine(Reader):
    def line(self, data):
        raise SystemExit("no more")
"""
BROKEN = {
    "gone": "no_such_module:Adapter",
    "nameless": "theirs.adapter:NoSuchName",
    "syntax": "theirs.broken:Adapter",
    "exits": "theirs.exits:Adapter",
    "no-argument": "theirs.adapter:no_argument",
    "not-an-agent": "theirs.adapter:not_an_agent",
    "raising": "theirs.adapter:raising",
    "bad-probe": "theirs.adapter:bad_probe",
}
LATE = {"bad-prepare": "theirs.adapter:bad_prepare", "bad-reader": "theirs.adapter:bad_reader"}
DEAF = {"bad-line": "theirs.adapter:bad_line"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    site = tmp_path / "site"
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "theirs").mkdir()
    (site / "theirs" / "__init__.py").touch()
    (site / "theirs" / "adapter.py").write_text(ADAPTER)
    (site / "theirs" / "broken.py").write_text("this is no Python")
    (site / "theirs" / "exits.py").write_text("raise SystemExit(9)")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    offered = {"theirs": "theirs.adapter:Adapter", **BROKEN, **LATE, **DEAF}
    lines = [f"{name} = {value}" for name, value in offered.items()]
    (info / "entry_points.txt").write_text("\n".join(["[branchline.agents]", *lines, ""]))
    project = Project.make(tmp_path / "p")
    project.env = {"PYTHONPATH": os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))}
    return project


def run(project: Project, agent: str, **spec: Any) -> Ran:
    agents: list[Json] = [{"id": "mine", "use": agent, **spec}]
    plan = {"workstreams": [{"id": "a", "scope": {"write": ["**"]}, "prompt": "Do it."}]}
    return project.run(plan, {"agent": "mine", "agents": agents, "retry": {"max_attempts": 1}})


def test_an_adapter_of_a_package_works(project: Project) -> None:
    ran = run(project, "theirs", model="m-1", timeout="1m")
    assert ran.code == 0, ran.err
    assert project.show(ran.json["integration"]["branch"], "x.txt") == "x\n"
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert (called["agent"], called["model"], called["status"]) == ("mine", "m-1", "ok")
    attempt = project.root / ".runs" / ran.json["run_id"] / called["folder"]
    assert json.loads((attempt / "result.json").read_text())["notes"] == "done"


def test_agents_lists_it_and_says_what_is_wrong_with_the_others(project: Project) -> None:
    listed = project.branchline("agents", "--json")
    assert listed.code == 0, listed.err
    seen = {one["name"]: one for one in json.loads(listed.out)}
    assert (seen["theirs"]["source"], seen["theirs"]["version"]) == ("package", "3.2.1")
    assert seen["theirs"]["can"] == ["edit"]
    for name in BROKEN:
        assert seen[name]["problem"], name
        assert not seen[name]["installed"]
    assert "it does not like that specification" in seen["raising"]["problem"]
    shown = project.branchline("agents")
    assert shown.code == 0, shown.err
    assert "agents: [{id: theirs, use: theirs}]" in shown.out
    assert "Traceback" not in shown.out + shown.err
    assert project.branchline("agents", PYTHONPATH="").code == 0


@pytest.mark.parametrize("name", [*BROKEN, *LATE])
def test_a_broken_adapter_is_told_of_and_harms_nobody(project: Project, name: str) -> None:
    before = see(project)
    ran = run(project, name)
    assert ran.code in {1, 2}, ran.err
    assert "agent mine: " in ran.err
    assert "adapter" in ran.err
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err, "it is not ours"
    assert_untouched(project, before)
    if ran.code == 1:
        assert project.branchline("verify").code == 0


def test_a_reader_that_fails_costs_the_attempt_and_not_the_work(project: Project) -> None:
    ran = run(project, "bad-line")
    assert ran.code == 1, ran.err
    assert "agent mine: its adapter cannot read what it printed: SystemExit: no more" in ran.err
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert called["status"] == "invalid_output"
    refs = project.git("for-each-ref", "--format=%(refname)", "refs/branchline").splitlines()
    assert "x\n" in [project.show(ref, "x.txt") for ref in refs if "/attempts/" in ref]


def test_an_adapter_that_nobody_offers(project: Project) -> None:
    ran = run(project, "thiers")
    assert ran.code == 2
    assert "there is no adapter 'thiers'; did you mean 'theirs'?" in ran.err
    assert "Traceback" not in ran.err


def test_a_broken_package_does_not_keep_other_agents_from_working(project: Project) -> None:
    plan = {
        "workstreams": [{"id": "a", "scope": {"write": ["**"]}, "script": [{"write": {"path": "a", "content": "a"}}]}]
    }
    assert project.run(plan).code == 0
    doctor = project.branchline("doctor")
    assert "Traceback" not in doctor.out + doctor.err
