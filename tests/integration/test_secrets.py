"""An agent's keys: whatever it does with them, they stand nowhere in the run's files, its ledger or git."""

import json
import random
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support import Json, Project, Ran, sh, workstream, write

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


SEED = "ghp_" + "".join(random.Random(3).choices(string.ascii_letters + string.digits, k=36))
PLANTED: dict[str, str] = {"MY_TOKEN": KEYS["MY_TOKEN"], "SEED": SEED, "DB_PASSWORD": "Tr0ub4dor&3x"}
OWN = "git -c user.name=x -c user.email=x@example.org"


def planted(project: Project) -> dict[str, set[str]]:
    """Where a planted secret stands, but for the folder in which files with secrets are kept for their owner alone."""
    found: dict[str, set[str]] = {}
    for path in (project.root / ".runs").rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes() + bytes(path.name, "utf-8", "surrogateescape")
            if names := {name for name, value in PLANTED.items() if value.encode() in data}:
                found[str(path.relative_to(project.root))] = names
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=project.root, capture_output=True, check=True
    ).stdout
    if names := {name for name, value in PLANTED.items() if value.encode() in objects}:
        found["git objects"] = names
    return found


def assert_only_kept(project: Project, ran: Ran) -> None:
    """Secrets stand nowhere but in files that only their owner may read, in the run's folder of what it kept."""
    found = planted(project)
    kept = f".runs/{ran.json['run_id']}/kept/"
    assert {name for name in found if not name.startswith((kept, kept.replace("kept", "worktrees")))} == set(), found
    folder = project.root / kept
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*") if path.is_file())
    told = ran.out + ran.err + project.branchline("show", ran.json["run_id"]).out
    told += (
        project.branchline("log", ran.json["run_id"]).out
        + project.branchline("trace", ran.json["run_id"], "--json").out
    )
    assert [name for name, value in PLANTED.items() if value in told] == []
    assert project.branchline("verify", ran.json["run_id"]).code == 0
    assert project.git("fsck", "--full", "--no-dangling") == ""


def test_files_with_secrets_never_become_objects_and_may_be_repaired(project: Project) -> None:
    """In content, in names, in links; the agent is told where, mends it, and the rest of its work is not lost."""
    plant = """
printf 'x = 1\\ntoken = "%s"\\n' "$SEED" > src/a.py; echo "$MY_TOKEN" > b.txt; ln -s "$SEED" link
echo '*.log' > .gitignore; echo "password: $DB_PASSWORD" > debug.log; echo fine > c.txt; mkdir d; echo y > "d/$SEED"
echo "I used $SEED and $MY_TOKEN and $DB_PASSWORD" >&2
"""
    mend = "echo 'x = 1' > src/a.py; rm -f b.txt link d/*; echo more > e.txt"
    plan: Json = {
        "workstreams": [workstream("a", sh(plant), repair_scripts=[[sh(mend)]]), workstream("b", write("g.txt", "g\n"))]
    }
    ran = project.run(plan, {"ship": {"mode": "merge"}, "env": [*PLANTED]}, **PLANTED)
    assert ran.code == 0, ran.err
    assert project.files("main") == [
        ".gitignore",
        "README.md",
        "c.txt",
        "e.txt",
        "g.txt",
        "old.txt",
        "src/a.py",
        "src/x.py",
    ]
    report = (Path(ran.json["run_dir"]) / "gate" / "rejected" / "a-1" / "report.md").read_text()
    for words in (
        "src/a.py:2: a secret: GitHub token (fingerprint ",
        "b.txt:1: a secret: value of a secret variable",
        "link:1: ",
    ):
        assert words in report
    assert "'d/[secret]': its name holds a secret: GitHub token" in report
    assert_only_kept(project, ran)
    assert PLANTED["DB_PASSWORD"] in next(Path(ran.json["run_dir"]).rglob("kept/**/debug.log")).read_text()


def test_what_an_agents_own_git_has_stored_is_taken_out(project: Project) -> None:
    """Commits, amended ones, staged files, messages: without a sandbox an agent can put anything into the repository."""
    commits = f"""
echo "t=$SEED" > a.py; git add a.py; {OWN} commit -qm "add $MY_TOKEN"; rm a.py; echo ok > c.txt; {OWN} commit -qam two
echo x > "$DB_PASSWORD"; git add .; {OWN} commit -qm three; {OWN} commit -q --amend -m "$DB_PASSWORD"
git rm -q --cached "$DB_PASSWORD"; rm "$DB_PASSWORD"
"""
    streams = [
        workstream("commits", sh(commits)),
        workstream("stages", sh('echo "$SEED" > s.txt; git add s.txt; echo fine > s.txt')),
        workstream("tags", sh(f'echo t > t.txt; {OWN} tag -a -m "$SEED" v-"$$"; git tag -d v-"$$" > /dev/null')),
        workstream("good", sh(f"echo 1 > e.txt; git add e.txt; {OWN} commit -qm own")),
    ]
    settings: Json = {"ship": {"mode": "merge"}, "env": [*PLANTED], "sandbox": {"rung": 1}}
    ran = project.run({"workstreams": streams}, settings, **PLANTED)
    assert ran.code == 0, ran.err
    assert project.files("main") == ["README.md", "c.txt", "e.txt", "old.txt", "s.txt", "src/x.py", "t.txt"]
    assert_only_kept(project, ran)
    done = {r["context"]["workstream"]: r["context"] for r in project.records() if r["event"] == "execute_ws_complete"}
    assert any("a secret: " in one for one in done["commits"]["commits_left_out"])
    assert "commits_left_out" not in done["good"]
    assert [*Path(ran.json["run_dir"]).glob("kept/commits/commits-*.bundle")], "nothing is lost"


def test_what_the_base_holds_is_not_the_agents(project: Project) -> None:
    """A key in a test stays, is edited around, moves, is copied; a new one beside it is found."""
    fixture = f"def test_login() -> None:\n    assert login('{SEED}')\n"
    project.commit("a test", {"tests/test_login.py": fixture})
    other = SEED[:-6] + "Zz9Yy8"
    streams = [
        workstream("edits", sh("echo '# edited' >> tests/test_login.py")),
        workstream(
            "moves",
            sh(
                "mkdir new; cp tests/test_login.py new/test_a.py; (echo '# b'; cat tests/test_login.py) > new/test_b.py"
            ),
        ),
        workstream("adds", sh('printf "%s\\n" "$SEED" >> tests/test_login.py')),
        workstream("allowed", sh('echo "key = $SEED" > docs.md')),
    ]
    settings: Json = {"env": ["SEED"], "repair": {"rounds": 0}, "secrets": {"allow": ["docs.md"]}}
    ran = project.run({"workstreams": streams}, settings, SEED=other)
    states = {one["id"]: one["state"] for one in ran.json["workstreams"]}
    assert states == {"edits": "COMPLETED", "moves": "COMPLETED", "adds": "FAILED", "allowed": "COMPLETED"}, ran.err
    reason = next(one["reason"] for one in ran.json["workstreams"] if one["id"] == "adds")
    assert "tests/test_login.py:3: a secret: GitHub token (fingerprint " in reason
    mark = reason.partition("(fingerprint ")[2][:16]
    again = project.run({"workstreams": streams[2:3]}, {**settings, "secrets": {"allow": [mark]}}, SEED=other)
    assert again.code == 0, again.err


def test_a_copy_of_the_users_own_file_is_for_the_agents_alone(project: Project) -> None:
    """`.env`, copied in by set-up: agents read it, in every round; no object, no kept file holds it."""
    project.commit("ignore", {".gitignore": ".env\n"})
    (project.root / ".env").write_text(f"TOKEN={SEED}\n")
    streams = [
        workstream(
            "a",
            sh("grep -q TOKEN= .env && echo bad > bad.txt"),
            repair_scripts=[[sh("grep -q TOKEN= .env && rm bad.txt && echo a > a.txt")]],
        )
    ]
    settings: Json = {
        "setup": {"copy": [".env"]},
        "gates": [{"id": "no-bad", "verify": ["sh", "-c", "! test -e bad.txt"]}],
    }
    ran = project.run({"workstreams": streams}, settings, **PLANTED)
    assert ran.code == 0, ran.err
    assert project.files(ran.json["integration"]["branch"]) == [
        ".gitignore",
        "README.md",
        "a.txt",
        "old.txt",
        "src/x.py",
    ]
    assert planted(project) == {}


def test_a_request_with_a_secret_is_refused(project: Project) -> None:
    plan: Json = {"workstreams": [workstream("a", write("a.txt", SEED))]}
    ran = project.run(plan)
    assert ran.code == 2
    assert "the plan holds a secret (GitHub token)" in ran.err
    assert "name an environment variable in its place" in ran.err
    _, config = project.request({}, {"agent": "leaky", "agents": [leaky(project, "leaky", PLAN)]})
    asked = ("run", f"use {KEYS['MY_TOKEN']}", "--yes", "--config", str(config))
    known = project.branchline(*asked, **{**PLANTED, **KEYS})
    assert known.code == 2, known.err
    assert "the prompt holds a secret (value of a secret variable)" in known.err
    assert not list((project.root / ".runs").glob("*/logs"))
    mark = ran.err.partition("allow: [")[2][:16]
    assert project.run(plan, {"secrets": {"allow": [mark]}}).code == 0


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
        "agent": "leaky", "agents": [agent], "prices": {"m-1": {"input": 1, "output": 1}},
    }  # fmt: skip
    ran = project.run({"workstreams": [{"id": "a", "scope": {"write": ["**"]}}]}, settings, **KEYS)
    assert ran.code == 0, ran.err
    transcript = next((project.root / ".runs").rglob("transcript.jsonl"))
    assert json.loads(transcript.read_text())["path"] == "/v1/messages"
    assert_no_leak(project, ran)
