"""Plans that cannot be carried out, and command lines that ask for no one thing."""

import json
import time
from pathlib import Path

import pytest

from support import Json, Project, sh, workstream, write
from witness import assert_refused, assert_untouched, see

HELLO = write("hello.txt", "hello\n")
FORMS: dict[str, tuple[Json, list[str]]] = {
    "a cycle": (
        {"workstreams": [workstream("a", HELLO, depends_on=["b"]), workstream("b", HELLO, depends_on=["a"])]},
        ["the workstreams wait for each other: a -> b -> a"],
    ),
    "an unknown dependency": (
        {"workstreams": [workstream("alpha", HELLO), workstream("b", HELLO, depends_on=["alhpa"])]},
        ["workstream 'b' depends on 'alhpa', which does not exist", "did you mean 'alpha'?"],
    ),
    "a duplicate id": (
        {"workstreams": [workstream("a", HELLO), workstream("a", HELLO)]},
        ["the workstream id 'a' is used twice"],
    ),
    "an empty scope": ({"workstreams": [workstream("a", HELLO, write=())]}, ["write"]),
    "an unknown agent": (
        {"workstreams": [workstream("a", HELLO, agent="scriptde")]},
        ["there is no agent 'scriptde'", "did you mean 'scripted'?"],
    ),
    "no workstreams": ({"workstreams": []}, ["workstreams"]),
    "wrong types": ({"workstreams": [workstream("a", HELLO, priority="high")], "goal": 7}, ["priority", "goal"]),
    "a scope outside": ({"workstreams": [workstream("a", HELLO, write=["../x"])]}, ["'../x' contains '..'"]),
    "an id that is no name": ({"workstreams": [workstream("../a", HELLO)]}, ["../a"]),
}
FILES = {
    "binary": (b"\x00\x01\x02\xff\xfe", "this file"),
    "not UTF-8": (b"version: 1\ngoal: \xff\n", ":2:7: this file is not UTF-8 text"),
    "empty": (b"", "plan.yaml"),
    "a list": (b"- 1\n- 2\n", "plan.yaml:1:1"),
    "not YAML": (b"version: 1\nworkstreams: [{id: a\n", "plan.yaml:"),
    "a repeated key": (b"version: 1\nversion: 1\nworkstreams: []\n", "plan.yaml:2:1"),
    "a tag": (b"!!python/object/apply:os.system ['touch owned']\n", "plan.yaml:1:1"),
    "a bomb": (b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 108)), "plan.yaml"),
    "of another version": (b"version: 2\nworkstreams: []\n", "plan.yaml:1:"),
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.make(tmp_path_factory.mktemp("plans") / "p")


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_of_a_wrong_form(project: Project, form: str) -> None:
    plan, words = FORMS[form]
    before = see(project)
    ran = project.run(plan)
    assert_refused(ran, 2, "plan.json:1:", *words, hint="branchline schema plan")
    assert words[0] in ran.json["error"]["message"]
    assert_untouched(project, before)
    assert not (project.root / ".runs").exists()


def test_every_error_of_a_plan_is_named_with_its_place(project: Project, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "version: 1\nworkstreams:\n  - id: a\n    promt: say hello\n    scope: {write: []}\n    agent: nobody\n"
        "    script:\n      - wirte: {path: x, content: y}\n    depends_on: [b]\n"
    )
    ran = project.branchline("run", "--plan", str(plan))
    assert_refused(ran, 2, hint="branchline schema plan")
    places = {tuple(line.removeprefix("error: ").split(":")[1:3]) for line in ran.err.splitlines() if str(plan) in line}
    assert {line for line, _ in places} >= {"4", "5", "6", "8", "9"}
    assert f"{plan}:4:5: " in ran.err
    assert "did you mean 'prompt'?" in ran.err
    assert "did you mean 'write'?" in ran.err


@pytest.mark.parametrize("content", FILES)
def test_a_plan_file_that_is_none(project: Project, tmp_path: Path, content: str) -> None:
    data, words = FILES[content]
    (tmp_path / "plan.yaml").write_bytes(data)
    assert_refused(project.branchline("run", "--plan", str(tmp_path / "plan.yaml")), 2, words)
    assert not (project.root / "owned").exists()
    assert not (project.root / ".runs").exists()


def test_a_plan_that_cannot_be_read(project: Project, tmp_path: Path) -> None:
    assert_refused(project.branchline("run", "--plan", str(tmp_path)), 2, str(tmp_path), "directory")
    missing = project.branchline("run", "--plan", "nowhere.yaml")
    assert_refused(missing, 2, "nowhere.yaml: this file cannot be read: No such file or directory")
    for wrong, words in (({"gates": "x"}, "gates"), ({"max_paralel": 2}, "did you mean 'max_parallel'?")):
        assert_refused(project.run({"workstreams": [workstream("a", HELLO)]}, wrong), 2, "config.json:1:", words)


def test_a_command_line_that_asks_for_no_one_thing(project: Project) -> None:
    plan, _ = project.request({"workstreams": [workstream("a", HELLO)]})
    both = project.branchline("run", "--plan", str(plan), "--graph", str(plan))
    assert_refused(both, 2, "--graph goes without PROMPT and --plan", hint="branchline run --help")
    prompt = project.branchline("run", "Add a greeting")
    assert_refused(prompt, 2, "there is no agent to plan", hint="branchline init")
    assert_refused(project.branchline("run"), 2, "give PROMPT, --prompt-file, --plan", hint="branchline run --help")
    assert_refused(project.branchline("run", "--plan", str(plan), "--max-parallel", "0"), 2, "--max-parallel")
    agent = project.branchline("run", "--plan", str(plan), "--agent", "nobody")
    assert_refused(agent, 2, "there is no agent 'nobody'", hint="--agent scripted|claude_code")
    assert_refused(project.branchline("rnu"), 2, "there is no command 'rnu'", hint="branchline run")
    assert not (project.root / ".runs").exists()


def test_names_of_runs_and_tasks_that_do_not_exist(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    assert_refused(project.branchline("status"), 2, "there are no runs in", hint="branchline run --plan FILE")
    plan = {"workstreams": [workstream("a", HELLO), workstream("b", {"fail": "no idea"})]}
    one, other = "01HF0000000000000000000001", "01HF0000000000000000000002"
    assert project.run(plan, BRANCHLINE_RUN_ID=one).code == 5
    assert project.run({"workstreams": [workstream("b", {"fail": "no idea"})]}, BRANCHLINE_RUN_ID=other).code == 1
    before = see(project)
    again = project.run(plan, BRANCHLINE_RUN_ID=one)
    assert_refused(again, 2, f"run {one} exists already", hint=f"branchline resume {one}")
    for command in ("log", "diff", "resume", "cancel"):
        assert_refused(project.branchline(command, "01zz"), 2, "there is no run '01zz'", hint="branchline list")
    ambiguous = project.branchline("status", "01HF")
    assert_refused(ambiguous, 2, "'01HF' begins 2 runs", one, other, hint="branchline list")
    assert one in project.branchline("status", one.lower()).out
    for argv in (("retry", one, "task_099_nothing"), ("resume", other, "--skip", "task_099_nothing")):
        assert_refused(project.branchline(*argv), 2, "there is no task task_099_nothing", hint="branchline ")
    assert_refused(project.branchline("show", one, "task_006_execute"), 2, "no task", hint=f"branchline show {one}")
    assert_refused(project.branchline("diff", one, "c"), 2, "no workstream 'c'", hint="a, b")
    assert project.branchline("verify", one).code == project.branchline("verify", other).code == 0
    assert_untouched(project, before)


@pytest.mark.heavy
@pytest.mark.timeout(400)
def test_eighty_workstreams_run_through_in_bounded_time(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    count = 80
    plan = {"workstreams": [workstream(f"w{n:03}", sh(f"echo {n} > w{n:03}.txt")) for n in range(count)]}
    began = time.monotonic()
    file, config = project.request(plan, {"max_parallel": 8, "ship": {"mode": "merge"}})
    project.patience = 380
    ran = project.branchline("run", "--plan", str(file), "--config", str(config), "--json")
    spent = time.monotonic() - began
    assert ran.code == 0, ran.err
    assert [w["state"] for w in ran.json["workstreams"]] == ["COMPLETED"] * count
    assert len(project.files("main")) == 3 + count
    assert project.git("status", "--porcelain") == ""
    assert project.branchline("verify").code == 0
    assert len(project.git("worktree", "list").splitlines()) == 1
    print(json.dumps({"workstreams": count, "seconds": round(spent, 1)}))
