"""From a sentence to a plan: asked for, checked, asked for again, shown, accepted, edited, refused."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import Json, Project, Ran, fate

WORK = 'case "$PWD" in */a) echo a > a.txt;; */b) echo b > b.txt;; *) echo x > one.txt;; esac'
TWO = ("a", "b")


def answer(*names: str, **scopes: Sequence[str]) -> Json:
    """A planner's answer with workstreams that each write `<name>.txt`, or what `scopes` say."""
    workstreams = [
        {
            "id": name,
            "title": f"Do {name}",
            "prompt": f"do {name}",
            "depends_on": [],
            "write": list(scopes.get(name, [f"{name}.txt"])),
            "protect": [],
        }
        for name in names
    ]
    return {"goal": "change both", "workstreams": workstreams}


def settings(*answers: Json | str, **more: object) -> Json:
    """A planner that gives these answers, one a question (a text: it fails with it), and a worker."""
    asked = [[{"fail": one}] if isinstance(one, str) else [{"answer": one}] for one in answers]
    return {
        "version": 1,
        "agent": "worker",
        "agents": [
            {"id": "planner", "use": "scripted", "scripts": asked},
            {"id": "worker", "use": "scripted", "scripts": [[{"run": ["sh", "-c", WORK]}]]},
        ],
        "gates": [{"id": "there", "verify": ["sh", "-c", 'test -n "$(ls *.txt)"']}],
        "retry": {"max_attempts": 2, "backoff": "fixed", "base_seconds": 0.1},
        **more,
        "planning": {"agent": "planner", **(more.get("planning") or {})},  # type: ignore[dict-item]
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "project")


def config(project: Project, data: Json) -> Path:
    path = project.root.parent / "config.json"
    path.write_text(json.dumps(data))
    return path


def ask(project: Project, data: Json, *args: str, prompt: str = "change both", **env: str) -> Ran:
    return project.branchline("run", prompt, "--config", str(config(project, data)), "--json", *args, **env)


def artifacts(ran: Ran) -> Path:
    return Path(ran.json["run_dir"]) / "artifacts"


def test_from_a_sentence_to_a_merge(project: Project) -> None:
    ran = ask(project, settings(answer(*TWO)), "--yes", "--ship", "merge")
    assert ran.code == 0, ran.err
    assert [w["id"] for w in ran.json["workstreams"]] == ["a", "b"]
    assert project.show("main", "a.txt") == "a\n"
    assert project.show("main", "b.txt") == "b\n"
    ids = {r["task_id"] for r in project.records() if r["event"] == "state_transition"}
    assert len(ids) == 18
    assert "task_018_archive" in ids
    assert (artifacts(ran) / "execution_plan.yaml").read_text() == (artifacts(ran) / "proposed_plan.yaml").read_text()
    assert (Path(ran.json["run_dir"]) / "prompt.md").read_text() == "change both\n"
    assert project.branchline("verify", ran.json["run_id"]).code == 0


def test_a_plan_with_one_workstream_is_a_good_plan(project: Project) -> None:
    ran = ask(project, settings(answer("one")), "--yes")
    assert ran.code == 0, ran.err
    assert [w["id"] for w in ran.json["workstreams"]] == ["one"]


def test_without_a_terminal_the_plan_waits_until_it_is_approved(project: Project) -> None:
    told = project.branchline("run", "change both", "--config", str(config(project, settings(answer(*TWO)))))
    assert told.code == 4
    assert "a.txt" in told.err, "whoever has to decide must see what on"
    ran = ask(project, settings(answer(*TWO)))
    assert ran.code == 4
    assert ran.json["status"] == "waiting"
    run_id = ran.json["run_id"]
    assert project.git("branch", "--list", "feature/*") == ""
    assert project.branchline("status", run_id, "--json").json["next"] == f"branchline approve {run_id}"
    assert project.branchline("resume", run_id, "--json").json["status"] == "waiting", "looking again changes nothing"
    done = project.branchline("approve", run_id, "--json")
    assert done.code == 0, done.err
    again = project.branchline("approve", run_id)
    assert again.code == 2
    assert "nothing waits" in again.err


def test_another_plan_may_be_approved_instead(project: Project, tmp_path: Path) -> None:
    run_id = ask(project, settings(answer(*TWO))).json["run_id"]
    mine = tmp_path / "mine.yaml"
    mine.write_text("version: 1\nworkstreams:\n- {id: b, scope: {write: [b.txt]}}\n")
    done = project.branchline("approve", run_id, "--plan", str(mine), "--json")
    assert done.code == 0, done.err
    assert [w["id"] for w in done.json["workstreams"]] == ["b"]


def test_a_plan_that_waits_can_be_refused(project: Project) -> None:
    run_id = ask(project, settings(answer(*TWO))).json["run_id"]
    assert project.branchline("cancel", run_id).code == 0
    shown = project.branchline("status", run_id, "--json").json
    assert shown["status"] == "cancelled"
    archive = project.root / ".runs" / run_id / "artifacts" / "archive.json"
    assert archive.exists(), "also after an abort"
    assert project.git("status", "--porcelain") == ""


def test_plan_writes_the_plan_and_changes_nothing(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "plan.yaml"
    flags = ("--config", str(config(project, settings(answer(*TWO)))), "--json", "--out", str(out))
    made = project.branchline("plan", "change both", *flags)
    assert made.code == 0, made.err
    assert [w["id"] for w in made.json["plan"]["workstreams"]] == ["a", "b"]
    assert project.branchline("status", made.json["run_id"], "--json").json["status"] == "waiting"
    assert project.git("branch", "--list", "feature/*") == ""
    ran = project.branchline("run", "--plan", str(out), "--config", flags[1], "--yes", "--json")
    assert ran.code == 0, ran.err
    shown = project.branchline("plan", "change both", "--config", flags[1])
    assert shown.code == 0
    assert "a.txt" in shown.err
    assert "branchline approve" in shown.err
    refused = project.branchline("plan", "change both", *flags)
    assert refused.code == 2
    assert "exists already" in refused.err


def test_the_request_may_come_from_a_file_or_from_stdin(project: Project, tmp_path: Path) -> None:
    issue = tmp_path / "issue.md"
    issue.write_text("# change both\n\nBoth of them.\n")
    flags = ("--config", str(config(project, settings(answer(*TWO)))), "--json")
    ran = project.branchline("run", "--prompt-file", str(issue), *flags)
    assert ran.code == 4
    assert (Path(ran.json["run_dir"]) / "prompt.md").read_text().startswith("# change both\n\nBoth of them.")
    piped = subprocess.run(
        [sys.executable, "-m", "branchline", "run", "-", *flags], cwd=project.root, input=b"from a pipe\n",
        capture_output=True, check=False,
    )  # fmt: skip
    assert piped.returncode == 4
    folder = Path(json.loads(piped.stdout)["run_dir"])
    assert (folder / "prompt.md").read_text().startswith("from a pipe")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run", ""), "is empty"),
        (("run", "  \n "), "is empty"),
        (("run", "--prompt-file", "nowhere.md"), "cannot be read"),
        (("run", "x", "--prompt-file", "y.md"), "choose one"),
        (("run",), "there is nothing to run"),
        (("plan", "x", "--agent", "nobody"), "there is no agent 'nobody'"),
        (("plan", "x", "--planner", "nobody"), "--planner"),
    ],
)
def test_requests_that_say_nothing(project: Project, args: tuple[str, ...], words: str) -> None:
    ran = project.branchline(*args)
    assert ran.code == 2
    assert words in ran.err
    assert not (project.root / ".runs").exists()


def test_an_answer_that_breaks_the_schema_is_asked_for_again_with_what_is_wrong(project: Project) -> None:
    ran = ask(project, settings({"goal": "x"}, answer(*TWO)), "--yes")
    assert ran.code == 0, ran.err
    folder = Path(ran.json["run_dir"]) / "attempts" / "task_003_planning.1" / "ask-2"
    again = (folder / "prompt.md").read_text()
    assert "'workstreams' is a required property" in again or '"workstreams" is a required property' in again


def test_a_planner_is_not_asked_for_ever(project: Project) -> None:
    ran = ask(project, settings({}, {}, {}, answer(*TWO)), "--yes")
    assert ran.code == 1
    assert "gave no plan that can be used" in ran.err
    error = (artifacts(ran) / "plan_error.txt").read_text()
    assert "required property" in error
    calls = [r for r in project.records() if r["event"] == "agent_called"]
    assert len(calls) == 3
    assert (artifacts(ran) / "report.md").exists()
    assert project.git("for-each-ref", "refs/heads") == project.git("for-each-ref", "refs/heads/main")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (answer("a", "a"), "used twice"),
        (answer("a", a=["../outside.txt"]), "contains '..'"),
        (answer("a", a=["/etc/passwd"]), "is absolute"),
        (answer(*(f"w{n}" for n in range(200))), "more than planning.max_workstreams (20)"),
        ({"goal": "g", "workstreams": [{**answer("a")["workstreams"][0], "depends_on": ["nobody"]}]}, "does not exist"),
        (
            {
                "goal": "g",
                "workstreams": [
                    {**answer("a")["workstreams"][0], "depends_on": ["b"]},
                    {**answer("b")["workstreams"][0], "depends_on": ["a"]},
                ],
            },
            "wait for each other",
        ),
        (answer("-x"), "cannot name a branch"),
    ],
)
def test_our_own_checks_send_an_answer_back(project: Project, wrong: Json, words: str) -> None:
    ran = ask(project, settings(wrong, answer(*TWO)), "--yes")
    assert ran.code == 0, ran.err
    again = Path(ran.json["run_dir"]) / "attempts" / "task_003_planning.1" / "ask-2" / "prompt.md"
    assert words in again.read_text()


def test_two_hundred_workstreams_are_a_plan_if_somebody_wants_them(project: Project) -> None:
    names = [f"w{number}" for number in range(200)]
    data = settings(answer(*names), planning={"max_workstreams": 200})
    ran = ask(project, data)
    assert ran.code == 4, ran.err


def test_scopes_that_overlap_are_serialised_and_said(project: Project) -> None:
    ran = ask(project, settings(answer("a", "b", a=["*.txt"], b=["b.txt"])), "--yes")
    assert ran.code == 0, ran.err
    plan = (artifacts(ran) / "execution_plan.yaml").read_text()
    assert 'depends_on:\n      - "a"' in plan
    proposed = next(r for r in project.records() if r["event"] == "plan_proposed")
    assert "b waits for a" in proposed["context"]["warnings"][0]


def test_scopes_that_overlap_are_sent_back_where_the_policy_says_so(project: Project) -> None:
    data = settings(answer("a", "b", a=["*.txt"], b=["b.txt"]), answer(*TWO), planning={"overlap": "refuse"})
    ran = ask(project, data, "--yes")
    assert ran.code == 0, ran.err
    again = Path(ran.json["run_dir"]) / "attempts" / "task_003_planning.1" / "ask-2" / "prompt.md"
    assert "workstreams a and b may both write" in again.read_text()


def test_a_planner_that_fails_is_tried_again_and_then_the_run_ends_with_its_words(project: Project) -> None:
    ran = ask(project, settings("the model is away", "the model is away"), "--yes")
    assert ran.code == 1
    assert "the model is away" in ran.err
    assert "the model is away" in (artifacts(ran) / "plan_error.txt").read_text()
    attempts = [r for r in project.records() if r["event"] == "agent_called"]
    assert len(attempts) == 2
    assert project.git("status", "--porcelain") == ""


def test_a_run_without_a_plan_can_be_resumed_and_gets_one(project: Project) -> None:
    flag = project.root.parent / "flag"
    planner = [[{"run": ["sh", "-c", f"test -e {flag}"]}, {"answer": answer(*TWO)}]]
    data = settings(answer(*TWO), retry={"max_attempts": 1})
    data["agents"][0]["scripts"] = planner
    ran = ask(project, data, "--yes")
    assert ran.code == 1
    flag.touch()
    done = project.branchline("resume", ran.json["run_id"], "--json")
    assert done.code == 0, done.err
    assert {w["id"] for w in done.json["workstreams"]} == {"a", "b"}
    assert fate(done, "a")["state"] == "COMPLETED"
    assert project.branchline("verify", ran.json["run_id"]).code == 0


def test_a_planner_that_cannot_be_kept_from_writing_does_not_plan(project: Project) -> None:
    data = settings(answer(*TWO))
    data["agents"].append({"id": "writer", "command": ["true"]})
    ran = ask(project, data, "--yes", "--planner", "writer")
    assert ran.code == 1
    assert "agent writer cannot plan" in ran.err


def on_a_terminal(project: Project, data: Json, answers: Sequence[str], **env: str) -> tuple[int, str]:
    """`branchline run` on a pseudo-terminal, with a line typed at each question."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", "run", "change both", "--config", str(config(project, data))],
        cwd=project.root, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "CI": "", "NO_COLOR": "1", **env},
    )  # fmt: skip
    os.close(follower)
    shown, waiting = b"", list(answers)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                data_ = os.read(leader, 65536)
            except OSError:
                break
            if not data_:
                break
            shown += data_
            if waiting and shown.count(b"Carry it out?") > len(answers) - len(waiting):
                os.write(leader, waiting.pop(0).encode() + b"\n")
        elif process.poll() is not None:
            break
    code = process.wait(timeout=30)
    os.close(leader)
    return code, shown.decode("utf-8", "replace")


def test_on_a_terminal_the_plan_is_shown_and_accepted(project: Project) -> None:
    code, shown = on_a_terminal(project, settings(answer(*TWO)), ["y"])
    assert code == 0, shown
    assert "a.txt" in shown
    assert "b.txt" in shown


def test_on_a_terminal_the_plan_is_refused(project: Project) -> None:
    code, shown = on_a_terminal(project, settings(answer(*TWO)), ["no"])
    assert code == 1, shown
    assert "cancelled" in shown


def test_on_a_terminal_the_answer_may_wait(project: Project) -> None:
    code, shown = on_a_terminal(project, settings(answer(*TWO)), ["later"])
    assert code == 4, shown
    assert "branchline approve" in shown


def test_an_editor_that_fails_loses_nothing_and_a_wrong_edit_is_explained(project: Project, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(
        "#!/bin/sh\nif [ ! -e $0.once ]; then touch $0.once; echo nonsense: 1 >> $1; else sed -i /nonsense/d $1; fi\n"
    )
    wrong.chmod(0o755)
    code, shown = on_a_terminal(project, settings(answer(*TWO)), ["edit", "n"], EDITOR="false", VISUAL="")
    assert code == 1
    assert "Editing failed" in shown or "error:" in shown
    code, shown = on_a_terminal(project, settings(answer(*TWO)), ["edit", "edit", "y"], EDITOR=str(wrong), VISUAL="")
    assert code == 0, shown
    assert "nonsense" in shown
