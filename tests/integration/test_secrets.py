"""An agent's keys: whatever it does with them, they stand nowhere in the run's files, its ledger or git."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support import Json, Project, Ran

KEYS = {
    "ANTHROPIC_API_KEY": "sk-ant-0123456789abcdefghij",
    "MY_TOKEN": "tok/with+odd=characters&more",
    "LETTER_KEY": 'BEGIN\nline "two"\nEND',
    "PLAINLY_NAMED": "a-value-that-is-renamed",
}
LEAK = f"""
import json, os, pathlib, sys
values = [os.environ[name] for name in ("ANTHROPIC_API_KEY", "MY_TOKEN", "LETTER_KEY", "HANDED_ON")]
assert values == {list(KEYS.values())!r}, values
words = " and ".join(values)
home, tmp = pathlib.Path(os.environ["HOME"]), pathlib.Path(os.environ["TMPDIR"])
for place in (home / ".config" / "tool" / "auth.json", home / ".tool.log", tmp / "dump", home.parent / "more.txt"):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("x" * 5000 + json.dumps(words) + words)
(home / "read-only").write_text(words)
(home / "read-only").chmod(0o400)
print("raw:", words, file=sys.stderr)
print("the answer follows", words)
"""
EDIT = """
pathlib.Path("a.txt").write_text("a\\n")
print(json.dumps({"says": f"I used {words}", "doing": f"curl {words}", "session": values[0]}))
"""
PLAN = """
work = {"id": "a", "title": words, "prompt": words, "depends_on": [], "write": ["a.txt"], "protect": []}
print(json.dumps({"answer": {"goal": f"use {words}", "workstreams": [work]}}))
"""
FAIL = """
print(json.dumps({"error": f"401 the key {words} is wrong"}))
print("last words:", words, file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def leaky(project: Project, name: str, then: str, **more: object) -> Json:
    """An agent that gets every key and tells them everywhere, then does something."""
    program = project.root.parent / f"{name}.py"
    program.write_text(LEAK + then)
    return {
        "id": name,
        "command": [sys.executable, str(program)],
        "read_command": [sys.executable, str(program), "{schema_file}"] if then is PLAN else [sys.executable, str(program)],
        "pass_env": ["ANTHROPIC_API_KEY", "MY_TOKEN", "LETTER_KEY"],
        "env": {"HANDED_ON": "${env:PLAINLY_NAMED}"},
        "output": {
            "format": "jsonl", "message": "$.says", "error": "$.error", "structured": "$.answer", "doing": "$.doing",
            "session_id": "$.session",
        },
        **more,
    }  # fmt: skip


def leaks(project: Project) -> dict[str, set[str]]:
    """Where a key stands: files below `.runs`, and objects of git; escaped forms of it too."""
    forms = {
        form: name
        for name, value in KEYS.items()
        for form in (value.encode(), json.dumps(value)[1:-1].encode(), json.dumps(json.dumps(value))[2:-2].encode())
    }
    found: dict[str, set[str]] = {}
    for path in (project.root / ".runs").rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes() + bytes(path.name, "utf-8", "surrogateescape")
            if names := {name for form, name in forms.items() if form in data}:
                found[str(path.relative_to(project.root))] = names
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=project.root, capture_output=True, check=True
    ).stdout
    if names := {name for form, name in forms.items() if form in objects}:
        found["git objects"] = names
    return found


def assert_no_leak(project: Project, ran: Ran) -> None:
    assert "Traceback" not in ran.err
    assert leaks(project) == {}
    told = ran.out + ran.err
    told += project.branchline("show", ran.json["run_id"]).out + project.branchline("log", ran.json["run_id"]).out
    assert [name for name, value in KEYS.items() if value in told] == []
    assert project.branchline("verify", ran.json["run_id"]).code == 0


def test_what_an_agent_tells_of_its_keys_is_hidden_and_its_work_lands(project: Project) -> None:
    settings: Json = {"agent": "leaky", "agents": [leaky(project, "leaky", EDIT)]}
    ran = project.run({"workstreams": [{"id": "a", "scope": {"write": ["**"]}}]}, settings, **KEYS)
    assert ran.code == 0, ran.err
    assert_no_leak(project, ran)
    home = next((project.root / ".runs").rglob("home/.config/tool/auth.json"))
    assert home.read_text().startswith("x" * 5000), "the home is kept for what else it may tell"
    result = json.loads(next((project.root / ".runs").rglob("result.json")).read_text())
    assert result["notes"].startswith("I used [secret] and [secret]")


def test_keys_in_an_error_are_hidden_and_its_kind_is_not(project: Project) -> None:
    settings: Json = {"agent": "leaky", "agents": [leaky(project, "leaky", FAIL)]}
    ran = project.run({"workstreams": [{"id": "a", "scope": {"write": ["**"]}}]}, settings, **KEYS)
    assert ran.code == 1, ran.err
    assert "401 the key [secret]" in ran.err
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert (called["status"], called["error_class"]) == ("model_error", "auth")
    assert_no_leak(project, ran)


def test_keys_in_a_planners_answer_are_hidden(project: Project) -> None:
    config = project.root.parent / "config.json"
    agents = [leaky(project, "planner", PLAN), leaky(project, "worker", EDIT)]
    config.write_text(json.dumps({"version": 1, "agent": "worker", "agents": agents, "planning": {"agent": "planner"}}))
    ran = project.branchline("run", "do it", "--config", str(config), "--yes", "--json", **KEYS)
    assert ran.code == 0, ran.err
    assert "[secret]" in (project.root / ".runs" / ran.json["run_id"] / "artifacts" / "execution_plan.yaml").read_text()
    assert_no_leak(project, ran)


def test_what_an_agent_commits_is_for_the_gates_to_find(project: Project) -> None:
    """Its work is never changed behind its back; what must not land is a gate's to say."""
    into = 'pathlib.Path("a.txt").write_text(values[0] + "\\n")\n'
    settings: Json = {
        "agent": "leaky",
        "agents": [leaky(project, "leaky", into)],
        "gates": [{"id": "no-keys", "verify": ["sh", "-c", "! grep -rlE 'sk-ant-[a-z0-9]{20}' ."]}],
        "repair": {"rounds": 0},
    }
    ran = project.run({"workstreams": [{"id": "a", "scope": {"write": ["**"]}}]}, settings, **KEYS)
    assert ran.code == 1, ran.err
    assert "git objects" in leaks(project)
    assert project.git("grep", "sk-ant-", "main", check=False) == ""


class Echo(BaseHTTPRequestHandler):
    """A provider that says the keys it was sent back to the caller, as error messages of providers do."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        key = self.headers["x-api-key"]
        said = {
            "content": [{"type": "text", "text": f"{key} {self.path}"}],
            "usage": {"input_tokens": 9, "output_tokens": 1},
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_proxy_writes_no_key_down(project: Project, provider: str) -> None:
    ask = """
import urllib.request
url = os.environ["BASE_URL"] + "/v1/messages?key=" + values[0]
body = json.dumps({"model": "m-1", "messages": [{"role": "user", "content": "hello"}]}).encode()
asked = urllib.request.Request(url, body, {"x-api-key": values[0], "content-type": "application/json"})
print(json.dumps({"says": urllib.request.urlopen(asked).read().decode()}))
"""
    agent = leaky(project, "leaky", ask + EDIT, meter=True, base_url=provider)
    agent["env"]["BASE_URL"] = "{base_url}"
    settings: Json = {
        "agent": "leaky", "agents": [agent], "cassettes": {"mode": "record", "folder": ".runs/tapes"},
        "prices": {"m-1": {"input": 1, "output": 1}},
    }  # fmt: skip
    ran = project.run({"workstreams": [{"id": "a", "scope": {"write": ["**"]}}]}, settings, **KEYS)
    assert ran.code == 0, ran.err
    transcript = next((project.root / ".runs").rglob("transcript.jsonl"))
    assert json.loads(transcript.read_text())["path"] == "/v1/messages"
    assert list((project.root / ".runs" / "tapes").rglob("*.body"))
    assert_no_leak(project, ran)
