"""Agents that are missing, too old, not logged in, cut off, asked too much: told truly, with what to do, nothing lost."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recordings import FOLDER
from support import Json, Project, Ran
from witness import assert_untouched, see

KEY = "sk-test-0123456789"
KEYS = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY, "GEMINI_API_KEY": KEY}
PROGRAMS = {
    "claude_code": ("claude", "2.1.197 (Claude Code)"),
    "codex": ("codex", "codex-cli 0.169.0"),
    "aider": ("aider", "aider 0.86.2"),
    "qwen": ("qwen", "0.15.10"),
    "opencode": ("opencode", "1.18.33"),
    "pi": ("pi", "0.73.1"),
}
MODELS = [{"id": "aider", "use": "aider", "model": "openai/gpt-5"}]
LOGIN = "valid key or login"
ERRORS = [
    ("claude_code", "auth", "auth", "Invalid API key", LOGIN),
    ("claude_code", "no_key", "auth", "Not logged in", LOGIN),
    ("claude_code", "billing", "billing", "Credit balance is too low", "can pay"),
    ("claude_code", "unknown_model", "unknown_model", "issue with the selected model", "`model:`"),
    ("claude_code", "context_too_large", "context_too_large", "Prompt is too long", "larger window"),
    ("claude_code", "rate_limit", "rate_limit", "429", "branchline retry"),
    ("claude_code", "overloaded", "overloaded", "", "branchline retry"),
    ("claude_code", "server_error", "server_error", "500", "branchline retry"),
    ("claude_code", "connection", "connection", "Unable to connect", "branchline retry"),
    ("codex", "auth", "auth", "401 Unauthorized", LOGIN),
    ("codex", "no_key", "auth", "OPENAI_API_KEY", LOGIN),
    ("codex", "too_large", "context_too_large", "maximum length", "larger window"),
    ("codex", "rate_limit", "rate_limit", "429", "branchline retry"),
    ("aider", "auth", "auth", "", LOGIN),
    ("aider", "unknown_model", "unknown_model", "", "`model:`"),
    ("aider", "rate_limit", "rate_limit", "", "branchline retry"),
    ("qwen", "stream_auth", "auth", "401", LOGIN),
    ("opencode", "auth", "auth", "scripted fault", LOGIN),
    ("pi", "auth", "auth", "401", LOGIN),
    ("pi", "server_error", "server_error", "500", "branchline retry"),
]
PASSING = {"rate_limit", "overloaded", "server_error", "connection"}
KINDS = {kind: (agent, case) for agent, case, kind, *_ in ERRORS}
ONE_OF_A_KIND = [
    pytest.param(*error, marks=() if KINDS[error[2]] == error[:2] else pytest.mark.heavy) for error in ERRORS
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.make(tmp_path / "p")
    folder = tmp_path / "bin"
    folder.mkdir()
    project.env = {"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin", **KEYS}
    return project


def install(project: Project, agent: str, then: str, version: str = "") -> None:
    """A program of that agent's name: it tells its version, has a sandbox that works, and else does what `then` says."""
    name, usual = PROGRAMS[agent]
    path = project.root.parent / "bin" / name
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--version*) echo "{version or usual}"; exit 0;; sandbox*) exit 0;; esac\n'
        f"cat > {project.root.parent / 'stdin'}\n{then}\n"
    )
    path.chmod(0o755)


def replay(agent: str, case: str) -> str:
    """Say what the real one said, and end as it did."""
    out, err, told = (FOLDER / agent / f"{case}.{end}" for end in ("stdout", "stderr", "json"))
    code = json.loads(told.read_text())["code"] if told.exists() else 0
    says = "".join(f"cat {shlex.quote(str(file))} {to}; " for file, to in ((out, ""), (err, ">&2")) if file.exists())
    return f"{says} exit {code}"


def work(agent: str) -> str:
    return "echo x > x.txt; " + replay(agent, "stream_edit" if agent == "qwen" else "edit")


def run(project: Project, agent: str, settings: Json | None = None, **fields: object) -> Ran:
    """Run a workstream by the agent, as a person sees it."""
    plan = {"workstreams": [{"id": "a", "scope": {"write": ["**"]}, "prompt": "Do it.", **fields}]}
    file, config = project.request(plan, {"agent": agent, "agents": MODELS, **(settings or {})})
    return project.branchline("run", "--plan", str(file), "--config", str(config), "--yes")


def calls(project: Project) -> list[tuple[str, str]]:
    """How every call ended, by the only run's ledger."""
    told = [r["context"] for r in project.records() if r["event"] == "agent_called"]
    return [(one["status"], one.get("error_class", "")) for one in told]


def flat(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())


def assert_told(ran: Ran, code: int, *words: str) -> None:
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    for word in words:
        assert word in flat(ran.err), (word, ran.err)


@pytest.mark.parametrize(("agent", "case", "kind", "words", "hint"), ONE_OF_A_KIND, ids=lambda value: str(value)[:20])
def test_what_a_provider_refuses(project: Project, agent: str, case: str, kind: str, words: str, hint: str) -> None:
    before = see(project)
    install(project, agent, replay(agent, case))
    ran = run(project, agent)
    assert_told(ran, 1, words)
    assert hint in flat(ran.err.partition("\nNext\n")[2])
    assert calls(project) == [("model_error", kind)] * (2 if kind in PASSING else 1)
    assert_untouched(project, before)
    install(project, agent, work(agent))
    mended = project.branchline("resume", "--json")
    assert mended.code == 0, mended.err
    assert project.show(mended.json["integration"]["branch"], "x.txt") == "x\n"
    assert project.branchline("verify").code == 0


@pytest.mark.parametrize("case", ["auth", "billing", "context_too_large", "rate_limit"])
def test_what_a_provider_refuses_a_planner(project: Project, case: str) -> None:
    before = see(project)
    install(project, "claude_code", replay("claude_code", case))
    _, config = project.request({}, {"agent": "claude_code"})
    ran = project.branchline("run", "change it", "--config", str(config), "--yes")
    assert_told(ran, 1, "planner claude_code: ")
    assert {status for status, _ in calls(project)} == {"model_error"}
    assert {kind for _, kind in calls(project)} == {case}
    assert len(calls(project)) == (2 if case in PASSING else 1)
    assert_untouched(project, before)
    assert project.git("branch", "--list") == "* main"
    assert next((project.root / ".runs").glob("*/artifacts/plan_error.txt")).read_text().startswith("planner claude")


@pytest.mark.parametrize("agent", sorted(PROGRAMS))
def test_a_program_that_is_not_installed(project: Project, agent: str) -> None:
    before = see(project)
    ran = run(project, agent)
    assert_told(ran, 1, f"agent {agent} cannot run here: ", "install")
    assert calls(project) == []
    assert_untouched(project, before)
    install(project, agent, work(agent))
    mended = project.branchline("resume")
    assert mended.code == 0, mended.err


@pytest.mark.parametrize("version", ["1.0.3 (Claude Code)", "99.1.0 (Claude Code)", "no version at all"])
def test_a_version_that_nobody_tested_works_with_a_warning(project: Project, version: str) -> None:
    install(project, "claude_code", work("claude_code"), version)
    listed = {one["name"]: one for one in json.loads(project.branchline("agents", "--json").out)}
    ran = run(project, "claude_code")
    assert_told(ran, 0)
    number = version.split(maxsplit=1)[0]
    untested = number[0].isdigit()
    assert listed["claude_code"]["installed"] is True
    assert listed["claude_code"]["tested"] is (False if untested else None)
    assert (f"agent claude_code is version {number}, which has not been tested" in ran.err) is untested


def test_a_version_without_an_option_says_so_once(project: Project) -> None:
    install(project, "claude_code", replay("claude_code", "bad_option"), "1.0.3")
    ran = run(project, "claude_code")
    assert_told(ran, 1, "unknown option", "branchline doctor")
    assert calls(project) == [("model_error", "bad_request")]


def test_a_program_that_vanishes_after_preflight(project: Project) -> None:
    install(project, "claude_code", work("claude_code"))
    gone = project.root.parent / "bin" / "claude"
    ran = run(project, "claude_code", {"setup": {"run": [["rm", str(gone)]]}})
    assert_told(ran, 1, "agent claude_code: cannot run claude: No such file or directory", "npm install")
    assert calls(project) == []


PROMPT = "do it, and mind this: é\n" + "x" * 1_000_000 + "\n"
WORK = "echo x > x.txt"


@pytest.mark.parametrize("agent", ["claude_code", "codex", "qwen", "aider", "opencode", "pi"])
def test_a_prompt_of_a_megabyte(project: Project, agent: str) -> None:
    install(project, agent, work(agent))
    ran = run(project, agent, prompt=PROMPT)
    assert_told(ran, 0)
    sent = (project.root / ".runs").rglob("prompt.md")
    assert max(path.stat().st_size for path in sent) > 1_000_000
    if agent in {"claude_code", "codex", "qwen"}:
        assert (project.root.parent / "stdin").stat().st_size > 1_000_000


@pytest.mark.parametrize(
    ("command", "stdin", "code"),
    [
        ([f"{WORK}; test $(wc -c < $1) -gt 1000000", "sh", "{prompt_file}"], "", 0),
        ([f"{WORK}; test $(wc -c) -gt 1000000"], "{prompt}", 0),
        ([f"{WORK}; test -n $1", "sh", "{prompt}"], "", 1),
    ],
)
def test_ways_to_hand_over_a_megabyte(project: Project, command: list[str], stdin: str, code: int) -> None:
    own = {"id": "mine", "command": ["sh", "-c", *command], "stdin": stdin}
    ran = run(project, "mine", {"agents": [own]}, prompt=PROMPT)
    assert_told(ran, code)
    if code:
        assert "{prompt} is longer than an argument may be" in ran.err
        assert "pass {prompt_file}" in flat(ran.err)


GARBAGE = r"""printf '\377\376\000\033[31m\033]0;owned\007{"type":"result"\n\200\n"\377"\n{"type":"\303("}\n[[[[[1\n'; head -c 300000 /dev/urandom"""


@pytest.mark.parametrize("agent", sorted(PROGRAMS))
def test_an_output_that_is_no_text(project: Project, agent: str) -> None:
    install(project, agent, f"echo x > x.txt; {GARBAGE}; {GARBAGE} >&2")
    ran = run(project, agent)
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    assert "\x1b" not in ran.err + project.branchline("show").out + project.branchline("log").out
    if agent != "aider":  # it speaks no format that could be missed
        assert ran.code == 1, ran.err
        assert {status for status, _ in calls(project)} <= {"invalid_output", "model_error", "crashed"}
    assert project.branchline("verify").code == 0


@pytest.mark.parametrize("agent", ["claude_code", "codex", "opencode", "pi"])
@pytest.mark.parametrize("code", [0, 137])
def test_json_that_is_cut_in_the_middle_is_no_success(project: Project, agent: str, code: int) -> None:
    whole = (FOLDER / agent / "edit.stdout").stat().st_size
    file = shlex.quote(str(FOLDER / agent / "edit.stdout"))
    install(project, agent, f"echo x > x.txt; head -c {whole - 30} {file}; exit {code}")
    before = see(project)
    ran = run(project, agent)
    assert_told(ran, 1, f"agent {agent}: ")
    assert len(calls(project)) == 2, "another try may end better"
    assert {status for status, _ in calls(project)} <= {"invalid_output", "model_error", "crashed"}
    assert_untouched(project, before)
    refs = project.git("for-each-ref", "--format=%(refname)", "refs/branchline").splitlines()
    assert [project.show(ref, "x.txt") for ref in refs if "/attempts/" in ref] == ["x\n", "x\n"], (
        "what it had done is kept"
    )


# In a process of its own: what a fork of the test's own process weighs would count too.
PEAK = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:])
unit = 1 if sys.platform == "darwin" else 1024
print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)
"""
FLOODS = {
    "one line": "head -c 200000000 /dev/zero | tr '\\0' x",
    "short lines": "yes | head -c 200000000",
    "of stderr": "yes | head -c 200000000 >&2",
}


@pytest.mark.heavy
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_output_costs_neither_memory_nor_the_clock(project: Project, flood: str) -> None:
    install(project, "claude_code", f"echo x > x.txt; {FLOODS[flood]}; {replay('claude_code', 'edit')}")
    began = time.monotonic()
    plan = {"workstreams": [{"id": "a", "scope": {"write": ["**"]}, "prompt": "Do it."}]}
    file, config = project.request(plan, {"agent": "claude_code", "agents": MODELS})
    command = [sys.executable, "-m", "branchline", "run", "--plan", str(file), "--config", str(config), "--yes"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command], cwd=project.root, env={**os.environ, **project.env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert time.monotonic() - began < 60
    code, peak = done.stdout.split()[-2:]
    assert code == "0", done.stderr
    assert int(peak) < 250_000_000
