"""From a sentence to a shipped commit with real agents: Claude Code plans, Codex and Claude Code work."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from real_agents.installed import PACKAGES
from real_agents.model.script import script
from real_agents.model_server import ModelServer
from real_agents.subjects import CALC, FILES, READ, Step, processes
from support import IDENTITY, Json, Project

AGENTS = (PACKAGES["claude"], PACKAGES["codex"])
pytestmark = [
    pytest.mark.real_agent,
    *(
        pytest.mark.skipif(not one.present, reason=f"{one.program} {one.version} is not in the cache: make real-agents")
        for one in AGENTS
    ),
]
SUM = {"edit": {"path": CALC, "old": "    return a - b", "new": "    return a + b"}}
GUIDE = {"path": "docs/guide.md", "content": "# Guide\n"}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(params=[pytest.param("1", id="open", marks=pytest.mark.heavy), pytest.param("3", id="sandboxed")])
def project(server: ModelServer, tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """A repository whose configuration sends all agents to the scripted model; on two rungs of the ladder."""
    project = Project.make(tmp_path / "project", {**FILES, "branchline.yaml": json.dumps(settings(server.url))})
    path = os.pathsep.join([*(str(one.bin) for one in AGENTS), os.environ["PATH"]])
    project.env.update(PATH=path, ANTHROPIC_API_KEY="sk-test-a", OPENAI_API_KEY="sk-test-o", **IDENTITY)
    project.env["BRANCHLINE_SANDBOX"] = request.param
    return project


def settings(url: str) -> Json:
    claude = {"use": "claude_code", "model": "claude-sonnet-4-5", "base_url": url}
    return {
        "version": 1,
        "agent": "coder",
        "agents": [
            {"id": "planner", **claude},
            {"id": "coder", "use": "codex", "model": "gpt-5.5", "base_url": f"{url}/v1"},
            {"id": "writer", **claude},
        ],
        "planning": {"agent": "planner"},
        "gates": [
            {"id": "imports", "kind": "test", "verify": [sys.executable, "-B", CALC], "required": True},
            {"id": "titled", "kind": "lint", "verify": ["sh", "-c", "! grep -L '^# ' docs/* 2>/dev/null | grep ."]},
        ],
        "repair": {"rounds": 2},
        "retry": {"max_attempts": 3, "backoff": "fixed", "base_seconds": 0.1},
        "ship": {"mode": "merge"},
        "sandbox": {"network": "loopback"},
    }


def request(coder: str, writer: str) -> str:
    """A sentence, and what the planner makes of it: a workstream for each of two agents, with a script for each."""
    common: Json = {"depends_on": [], "protect": []}
    answer = {
        "goal": "Mend the sum and write the guide",
        "workstreams": [
            {
                "id": "sum",
                "title": "Mend it",
                "prompt": f"Mend the sum. {coder}",
                "write": ["src/*.py"],
                "agent": "coder",
            },
            {"id": "guide", "title": "Tell it", "prompt": f"Write. {writer}", "write": ["docs/**"], "agent": "writer"},
        ],
    }
    answer["workstreams"] = [{**common, **one} for one in answer["workstreams"] if isinstance(one, dict)]
    return f"Mend the sum and write a guide.\n{script({'json': answer}, when='# How to split')}"


def edits(*steps: Step) -> str:
    return script(*steps, {"text": "Done as asked."})


def ask(project: Project, text: str, **more: str) -> subprocess.Popen[bytes]:
    """`branchline run "..."` in the background."""
    folder = project.root.parent
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "branchline", "run", text, "--yes", "--json"],
            cwd=project.root,
            env={**os.environ, "NO_COLOR": "1", **project.env, **more},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def shipped(project: Project) -> bool:
    return "a + b" in (project.show("main", CALC) or "") and project.show("main", GUIDE["path"]) == GUIDE["content"]


def test_from_a_sentence_to_a_shipped_commit(project: Project, server: ModelServer) -> None:
    text = request(edits(READ, SUM), edits({"write": GUIDE}))
    ran = project.branchline("run", text, "--yes", "--json")
    assert ran.code == 0, ran.err + ran.out
    assert shipped(project)
    paths = {request.path for request in server.requests}
    assert paths == {"/v1/messages", "/v1/responses"}
    assert [one["state"] for one in ran.json["workstreams"]] == ["COMPLETED"] * 2
    sandboxed = project.env["BRANCHLINE_SANDBOX"] == "3"
    calls = [one["context"] for one in project.records() if one["event"] == "agent_called"]
    assert {(one["containment"] == "sandbox") for one in calls} == {sandboxed}
    own = {one.get("own_sandbox") for one in calls if one["agent"] == "coder"}
    assert own <= ({"nested", "off"} if sandboxed else {None})


def test_a_rejected_batch_goes_back_to_its_agent(project: Project) -> None:
    untitled = edits({"write": {**GUIDE, "content": "no title\n"}})
    mended = script({"write": GUIDE}, {"text": "Done."}, when="was rejected")
    ran = project.branchline("run", request(edits(READ, SUM), f"{untitled} {mended}"), "--yes", "--json")
    assert ran.code == 0, ran.err + ran.out
    assert shipped(project)


def test_a_kill_in_the_middle_of_an_edit_loses_nothing(project: Project, server: ModelServer) -> None:
    slowly = edits(READ, {**SUM, "hang": 5.0})
    run = ask(project, request(slowly, edits({"write": GUIDE})))
    deadline = time.monotonic() + 60
    while not any(one.path == "/v1/responses" and one.step == 1 for one in server.requests):
        assert time.monotonic() < deadline, (project.root.parent / "err").read_text()
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not shipped(project)
    ran = project.branchline("resume", "--json")
    assert ran.code == 0, ran.err + ran.out
    assert shipped(project)
    assert processes(ran.json["run_id"]) == []
