"""Runs whose agents talk to their provider through our proxy: metered and cut."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support import Json, Project, fate

KEY = "sk-test-0123456789"
AGENT = """
import json, os, sys, urllib.request
for number in range(int(sys.argv[2])):
    request = urllib.request.Request(
        sys.argv[1] + "/chat/completions",
        json.dumps({"model": "m-1", "messages": [{"role": "user", "content": f"line {number}"}]}).encode(),
        {"content-type": "application/json", "authorization": "Bearer " + os.environ["MY_API_KEY"]},
    )
    with urllib.request.urlopen(request) as answer:
        said = json.load(answer)["choices"][0]["message"]["content"]
    with open("said.txt", "a") as file:
        file.write(said + "\\n")
"""


class Provider(ThreadingHTTPServer):
    """A model that counts how often it is asked, and never says the same twice."""

    daemon_threads = True
    asked = 0
    keys: set[str | None] = set()


class Answer(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        self.server.keys.add(self.headers["authorization"])
        body = {
            "model": "m-1",
            "choices": [{"message": {"role": "assistant", "content": f"answer {self.server.asked}"}}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.make(tmp_path / "p")
    project.env["MY_API_KEY"] = KEY
    return project


def settings(provider: Provider, times: int, **more: object) -> Json:
    agent = {
        "id": "mine",
        "command": ["python3", "-c", AGENT, "{base_url}", str(times)],
        "base_url": f"http://127.0.0.1:{provider.server_port}/v1",
        "pass_env": ["MY_API_KEY"],
        "meter": True,
    }
    return {
        "agent": "mine", "agents": [agent], "prices": {"m-1": {"input": 100, "output": 1000}},
        "retry": {"max_attempts": 1}, **more,
    }  # fmt: skip


PLAN: Json = {"workstreams": [{"id": "a", "scope": {"write": ["said.txt"]}}]}


def test_any_agent_is_metered_and_its_key_is_nowhere(project: Project, provider: Provider) -> None:
    ran = project.run(PLAN, settings(provider, 3))
    assert ran.code == 0, ran.err
    assert provider.keys == {f"Bearer {KEY}"}
    usage = next(r["context"]["usage"] for r in project.records() if r["event"] == "agent_called")
    assert (usage["input_tokens"], usage["output_tokens"]) == (3000, 300)
    assert usage["cost_usd"] == pytest.approx(0.6)
    assert usage["cost_source"] == "metered"
    run_dir = Path(ran.json["run_dir"])
    assert list(run_dir.glob("attempts/*/transcript.jsonl"))
    assert not [path for path in run_dir.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_the_budget_cuts_an_agent_that_cannot_tell_its_cost(project: Project, provider: Provider) -> None:
    ran = project.run(PLAN, settings(provider, 500, budget={"attempt": 0.5}))
    assert ran.code == 1
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert (called["status"], called["error_class"]) == ("limit", "budget")
    assert provider.asked < 10
    assert "budget" in fate(ran, "a")["reason"]
