"""What an agent brings obeys nobody, and what judges it was not changed by it, or a person sees it first."""

import json
from pathlib import Path

import pytest

from branchline.config.load import load_settings, same_table
from support import Json, Project, Ran, fate, gate, sh, workstream, write

MERGE: Json = {"ship": {"mode": "merge"}}
EVIL = 'sandbox = {rung = 1}\napprovals = {protected = "allow"}\n'
TABLE = "[project]\nname = 'p'\n\n[tool.branchline]\nversion = 1\n"


def waits(ran: Ran) -> list[str]:
    return sorted(one["workstream"] or "ship" for one in ran.json.get("waiting", ()))


NEW_TABLES = {
    "header": f"[tool.branchline]\nversion = 1\n{EVIL}",
    "inline": "tool = {branchline = {version = 1, sandbox = {rung = 1}}}\n",
    "half-inline": "[tool]\nbranchline = {version = 1, sandbox = {rung = 1}}\n",
    "dotted": "tool.branchline.version = 1\ntool.branchline.sandbox.rung = 1\n",
    "quoted": "['tool' . \"branchline\"]\nversion = 1\nsandbox.rung = 1\n",
    "escaped": '["t\\u006fol"."branchl\\u0069ne"]\nversion = 1\nsandbox.rung = 1\n',
    "below": "[tool.branchline.sandbox]\nrung = 1\n",
    "bom": f"\ufeff[tool.branchline]\r\nversion = 1\r\n{EVIL}",
    "broken": "[tool.branchline]\nversion = 1\nversion = 2\n",
    "not-toml": "[tool\n",
}


@pytest.mark.parametrize("before", [None, "[tool.mypy]\nstrict = true\n"])
def test_settings_come_in_by_no_other_door(tmp_path: Path, before: str | None) -> None:
    """B5: `[tool.branchline]` in every spelling, under every name of the file, waits for a person."""
    files = {"README.md": "r\n"} | ({} if before is None else {"pyproject.toml": before})
    project = Project.make(tmp_path / "p", files)
    evil = NEW_TABLES["header"]
    doors = {name: write("pyproject.toml", text) for name, text in NEW_TABLES.items()}
    doors |= {
        "capitals": write("PyProject.TOML", evil),
        "windows": write("pyproject.toml.", evil),
        "wide": write("\uff50yproject.toml", evil),
        "link": sh(
            "mkdir -p c && printf '[tool.branchline]\\nversion = 1\\n' > c/x && rm -f pyproject.toml && ln -s c/x pyproject.toml"
        ),
        "before": write("branchline.yaml", "version: 1\n"),
        "before-link": sh("echo 'version: 1' > x.yaml && ln -s x.yaml branchline.yaml"),
    }
    streams = [workstream(name, step) for name, step in doors.items()]
    # `protect` takes out what it does not name; what a run obeys is in it all the same
    ran = project.run({"goal": "g", "workstreams": streams}, {**MERGE, "protect": ["nothing"], "max_parallel": 2})
    refused = set() if before is None else {"capitals"}  # on some systems it is the file that is there
    assert (ran.code, waits(ran)) == (4, sorted(set(doors) - refused)), ran.err
    assert [fate(ran, name)["state"] for name in refused] == ["FAILED"] * len(refused)
    assert project.files("main") == sorted(files)
    told = next(one for one in ran.json["waiting"] if one["workstream"] == "quoted")["concerns"]
    assert "settings of Branchline" in told[0]["reason"], told


def test_a_table_that_is_there_is_neither_changed_nor_taken_away_nor_led_elsewhere(tmp_path: Path) -> None:
    files = {"README.md": "r\n", "conf/real.toml": TABLE, "ci/run.yaml": "version: 1\n"}
    project = Project.make(tmp_path / "p", files)
    (project.root / "pyproject.toml").symlink_to("conf/real.toml")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "link")
    doors = {
        "target": sh("echo 'sandbox.rung = 1' >> conf/real.toml"),
        "emptied": sh(": > conf/real.toml"),
        "broken": sh("echo '[[' >> conf/real.toml"),
        "gone": sh("rm pyproject.toml"),
        "led": sh("cp conf/real.toml x.toml; ln -sf x.toml pyproject.toml"),
        "type": sh("sed -i s/version.*/version=true/ conf/real.toml"),
    }
    plain = {
        "dependency": sh("sed -i 's/name.*/name = \"q\"/' conf/real.toml"),
        "spelled": sh("printf 'tool.branchline = {\"version\" = 0x1}\\n' > conf/real.toml"),
        "other": write("sub/pyproject.toml", NEW_TABLES["header"]),
    }
    streams = [workstream(name, step) for name, step in (doors | plain).items()]
    ran = project.run({"goal": "g", "workstreams": streams}, {"max_parallel": 2})
    assert (ran.code, waits(ran)) == (4, sorted(doors)), ran.err


def test_the_settings_file_that_a_run_was_given_is_protected(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n", "ci/real.yaml": "version: 1\n", "plan.json": json.dumps(
        {"version": 1, "goal": "g", "workstreams": [
            workstream("file", sh("echo 'max_parallel: 2' >> ci/real.yaml")),
            workstream("link", sh("rm ci/run.yaml; cp ci/real.yaml ci/run.yaml")),
            workstream("good", write("good.txt", "g\n")),
        ]})})  # fmt: skip
    (project.root / "ci/run.yaml").symlink_to("real.yaml")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "link")
    ran = project.branchline("run", "--plan", "plan.json", "--config", "ci/run.yaml", "--yes", "--json")
    assert (ran.code, waits(ran)) == (4, ["file", "link"]), ran.err


@pytest.mark.parametrize("mode", ["reject", "allow"])
def test_the_settings_say_what_becomes_of_a_changed_table(tmp_path: Path, mode: str) -> None:
    project = Project.make(tmp_path / "p", {"pyproject.toml": TABLE})
    streams = [workstream("a", sh("echo 'max_parallel = 2' >> pyproject.toml")), workstream("b", write("b.txt", "b\n"))]
    settings: Json = {"approvals": {"protected": mode}, "repair": {"rounds": 0}}
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    assert ("a protected path" in fate(ran, "a")["reason"]) == (mode == "reject"), ran.err
    assert fate(ran, "b")["state"] == "COMPLETED"


def test_tables_are_compared_by_what_they_say(tmp_path: Path) -> None:
    assert same_table(b"[tool.x]\n", b"tool = 1\n")
    assert same_table(b"[tool.branchline]\nversion=1\nbase='a'\n", b'tool.branchline = {base = "a", version = 1}')
    assert not same_table(b"[tool.branchline]\nversion=1\n", b"[tool.branchline]\nversion=1.0\n")
    assert not same_table(b"x = [", b"x = [")
    assert not same_table(b"\xff", b"")
    assert not same_table(b"", b"x = " + b"[" * 100_000)
    (tmp_path / "pyproject.toml").write_text("tool = 1\n")
    assert load_settings(None, root=tmp_path).max_parallel == 4, "no traceback"


JUDGED = {
    "README.md": "r\n",
    "Makefile": "test:\n\tsh tools/run.sh\n",
    "tools/run.sh": "sh tools/lib/inner.sh\n",
    "tools/lib/inner.sh": "true\n",
    "check.py": "print(1)\n",
    "backend/ci/lint.sh": "true\n",
    "tests/test_a.py": "def test_a():\n    assert f() == 1\n",
    "tests/test_b.py": "def test_b():\n    assert g()\n",
    "pkg/__init__.py": "",
    "package.json": '{"scripts": {"test": "jest"}, "version": "1"}',
    "pyproject.toml": "[project]\nversion = '1'\n[tool.pytest.ini_options]\ntestpaths = ['tests']\n",
    "src/key.py": "key = 'x'  # pragma: allowlist secret\n",
}
COMMANDS = {"make": "make test >/dev/null", "py": "python3 check.py", "sub": "cd backend && sh ci/lint.sh"}
GATES = [gate(name, script, phases=["batch"]) for name, script in COMMANDS.items()]
TAMPERINGS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "makefile": ("printf 'test:\\n\\t@true\\n' > Makefile", [("tool-config", "Makefile")]),
    "deleted": ("rm tests/test_a.py", [("deleted-test", "tests/test_a.py")]),
    "emptied": (": > tests/test_a.py", [("weakened-test", "tests/test_a.py")]),
    "moved": ("mkdir old; mv tests/test_a.py old/a.bak", [("deleted-test", "tests/test_a.py")]),
    "skipped": ("sed -i '1i @pytest.mark.skip' tests/test_b.py", [("weakened-test", "tests/test_b.py")]),
    "linked": ("ln -sf ../README.md tests/test_b.py", [("weakened-test", "tests/test_b.py")]),
    "runner": ("echo x > pytest.py", [("shadow", "pytest.py")]),
    "exit": ("echo 'import os; os._exit(0)' > pkg/__init__.py", [("exit", "pkg/__init__.py")]),
    "hook": ("echo 'def pytest_sessionfinish(session): session.exitstatus = 0' > conftest.py",
             [("exit", "conftest.py"), ("tool-config", "conftest.py")]),
    "named": ("echo 'print(2)' > check.py", [("gate-file", "check.py")]),
    "inner": ("echo true >> tools/lib/inner.sh", [("gate-file", "tools/lib/inner.sh")]),
    "cd": ("echo true >> backend/ci/lint.sh", [("gate-file", "backend/ci/lint.sh")]),
    "npm": ("sed -i s/jest/true/ package.json", [("tool-config", "package.json")]),
    "table": ("sed -i s/tests/none/ pyproject.toml", [("tool-config", "pyproject.toml")]),
    "mode": ("chmod +x check.py", [("gate-file", "check.py")]),
    "excuse": ("echo 'x = 1  # noqa' >> src/key.py", [("excuse", "src/key.py")]),
    "innocent": ("echo y > src/y.py; sed -i s/1/2/ src/key.py; sed -i s/.1./\\'2\\'/ pyproject.toml; echo a > tests/test_c.py", []),
}  # fmt: skip


APART = ("emptied", "moved", "linked", "excuse", "innocent")  # they touch files that others touch


def test_the_judged_does_not_change_the_judge_unseen(tmp_path: Path) -> None:
    """B8: each is told; what is none of them is not."""
    project = Project.make(tmp_path / "p", JUDGED)
    together = [name for name in TAMPERINGS if name not in APART]
    groups = [together, *([name] for name in APART)]
    streams = [workstream("-".join(names)[:20], *(sh(TAMPERINGS[name][0]) for name in names)) for names in groups]
    ran = project.run({"goal": "g", "workstreams": streams}, {"gates": GATES})
    told = {one["workstream"]: {(r["kind"], r["path"]) for r in one["remarks"]} for one in ran.json["judged"]}
    for one, names in zip(streams, groups, strict=True):
        assert told.get(one["id"], set()) == {found for name in names for found in TAMPERINGS[name][1]}, ran.err


def test_it_is_told_where_people_look(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", JUDGED)
    script = "rm tests/test_a.py; for n in $(seq 20); do echo x > n$n.pth; done"
    asked = {"goal": "g", "workstreams": [workstream("a", sh(script))]}
    plan, config = project.request(asked, {"gates": GATES, **MERGE})
    ran = project.branchline("run", "--plan", str(plan), "--config", str(config), "--yes")
    assert ran.code == 0, ran.err
    (run_dir,) = (path.parents[1] for path in project.root.glob(".runs/*/logs/run.jsonl"))
    places = [run_dir / "artifacts" / name for name in ("pull_request.md", "report.md")]
    texts = [ran.err, *(place.read_text() for place in places)]
    for text in texts:
        lines = [line for line in text.splitlines() if "test_a.py" in line and "test deleted" in line]
        assert lines, text
        assert text.index("test deleted") < text.index("n1.pth")
    assert "and 9 more" in ran.err


def test_kinds_wait_as_the_settings_say(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", JUDGED)
    names = ["deleted", "runner", "excuse"]
    streams = [workstream(name, sh(TAMPERINGS[name][0])) for name in names]
    streams += [workstream("secret", sh("echo 'k = 1  # gitleaks:allow' >> src/key.py"))]
    settings: Json = {"gates": GATES[:1]}
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    assert waits(ran) == ["secret"], "by default: what lets other tools pass over a secret"
    asked: Json = {**settings, "approvals": {"judges": ["deleted-test", "shadow"]}}
    ran = project.run({"goal": "g", "workstreams": streams}, asked)
    assert waits(ran) == ["deleted", "runner"], ran.err
    (concern,) = ran.json["waiting"][0]["concerns"]
    assert (concern["kind"], concern["path"], concern["reason"]) == ("judges", "tests/test_a.py", "(test deleted)")
    done = project.branchline("approve", ran.json["run_id"], "deleted", "--json")
    assert waits(done) == ["runner"]


def test_what_one_gate_leaves_for_another_is_told(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", JUDGED)
    gates = [gate("first", "echo x > conftest.py; echo x > data.txt"), gate("second", "test -e conftest.py")]
    ran = project.run({"goal": "g", "workstreams": [workstream("a", write("a.txt", "a\n"))]}, {"gates": gates})
    assert ran.json["judged"][0]["remarks"] == [
        {"kind": "by-product", "path": "conftest.py", "detail": "left by first"}
    ]


def test_the_agent_does_not_excuse_itself(tmp_path: Path) -> None:
    """B9: a line that excuses its own secret is refused; one that the base has stays."""
    key = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA3"
    other = "ghp_" + "zY1xW0vU8tS6rQ4pN2mL1kJ9hG7fE5dB3aC2"
    project = Project.make(tmp_path / "p", {"old.py": f"key = '{key}'  # gitleaks:allow\n"})
    excused = {
        "pragma": "echo \"key = '$OTHER'  # pragma: allowlist secret\" > new.py",
        "gitleaks": "echo \"key = '$OTHER'  # gitleaks:allow\" > new.py",
        "nosec": "echo \"key = '$OTHER'  # nosec\" > new.py",
        "noqa": "echo \"key = '$OTHER'  # noqa: S105\" > new.py",
        "beside": "echo \"key = '$OTHER'  # gitleaks:allow\" >> old.py",
        "above": 'printf \'# gitleaks:allow\\nkey = "%s"\\n\' "$OTHER" > new.py',
        "list": "echo \"key = '$OTHER'\" > new.py; printf 'new.py:github-pat:1\\n' > .gitleaksignore; echo {} > .secrets.baseline",
    }
    streams = [workstream(name, sh(script)) for name, script in excused.items()]
    streams += [workstream("same", sh("echo 'x = 1' >> old.py; cp old.py copy.py"))]
    settings: Json = {"env": ["OTHER"], "repair": {"rounds": 0}, "approvals": {"judges": []}}
    ran = project.run({"goal": "g", "workstreams": streams}, settings, OTHER=other)
    assert {one["id"] for one in ran.json["workstreams"] if one["state"] == "FAILED"} == set(excused), ran.err
    assert fate(ran, "same")["state"] == "COMPLETED"
    assert "new.py:1: a secret: GitHub token" in fate(ran, "pragma")["reason"]


TOUCHES = {
    "hook": "printf x > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit",
    "setting": "git config core.fsmonitor /bin/false",
    "include": "git config include.path /tmp/evil",
    "attributes": "mkdir -p .git/info; echo '* filter=x' > .git/info/attributes",
    "alternates": "echo /tmp >> .git/objects/info/alternates",
    "branch": "git update-ref refs/remotes/origin/main $(git commit-tree -m x HEAD^{tree})",
    "folder": "rm -rf .git/hooks; ln -s /tmp .git/hooks",
    "pipe": "rm .git/config; mkfifo .git/config",
}
BENIGN = "git config user.email ci@example.org; git gc -q; git status >/dev/null; git stash list"


@pytest.mark.parametrize("where", ["set-up", "gate", "fix"])
def test_what_tampers_with_git_is_rejected_with_the_reason(tmp_path: Path, where: str) -> None:
    """B10: set-up that runs the agent's files, and gates that do; nothing stays, and the batch does not land."""
    project = Project.make(tmp_path / "p", {"README.md": "r\n", "step.sh": "true\n"})
    before = sorted((project.root / ".git/hooks").iterdir()), (project.root / ".git/config").read_text()
    names = list(TOUCHES) if where != "fix" else ["hook"]
    streams = [workstream(name, write("step.sh", f"{TOUCHES[name]}\n")) for name in names]
    streams += [workstream("benign", write("step.sh", f"{BENIGN}\n"))]
    run: Json = {"phases": ["batch"], "id": "g", "verify": ["sh", "step.sh"]}
    settings: Json = {"max_parallel": 2, "repair": {"rounds": 0}, "merge": {"on_conflict": "drop"}, "gates": [run]}
    if where == "set-up":
        settings |= {"setup": {"run": [["sh", "step.sh"]]}, "gates": []}
    elif where == "fix":
        settings["gates"] = [{**run, "verify": ["true"], "fix": ["sh", "step.sh"]}]
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    for name in names:
        reason = fate(ran, name)["reason"]
        assert "rejected" in reason, (name, reason)
        assert "git's own" in reason, (name, reason)
    assert fate(ran, "benign")["state"] == "COMPLETED", ran.err
    assert before == (sorted((project.root / ".git/hooks").iterdir()), (project.root / ".git/config").read_text())


def test_set_up_that_the_base_does_too_is_trusted(tmp_path: Path) -> None:
    """As husky and pre-commit do: their hooks and settings are those that the base has."""
    usual = "git config core.hooksPath $PWD/.husky; echo x > .git/hooks/pre-commit\n"
    project = Project.make(tmp_path / "p", {"README.md": "r\n", "step.sh": usual})
    streams = [
        workstream("good", write("good.txt", "g\n")),
        workstream("evil", write("step.sh", usual + "git config core.pager evil\n")),
    ]
    installs = gate("g", "echo y > .git/hooks/pre-push", phases=["batch"])  # as lefthook does
    settings: Json = {"setup": {"run": [["sh", "step.sh"]]}, "gates": [installs], "repair": {"rounds": 0}}
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    assert fate(ran, "good")["state"] == "COMPLETED", ran.err
    assert "core.pager, which it does not with the files of the base" in fate(ran, "evil")["reason"]


@pytest.mark.parametrize("where", ["set-up", "gate"])
def test_without_a_sandbox_the_users_own_git_is_put_back(tmp_path: Path, where: str) -> None:
    """B10 by the path: what has programs run later is put back and kept aside; what the user sets meanwhile stays."""
    project = Project.make(tmp_path / "p", {"README.md": "r\n", "step.sh": "true\n"})
    own = project.root / ".git"
    (own / "hooks/pre-push").write_text("mine\n")
    project.git("config", "alias.x", "status")
    before = {path.name: path.read_bytes() for path in (own / "hooks").iterdir()}, (own / "config").read_text()
    script = f"""cd {own}; printf evil > hooks/pre-commit; printf evil >> hooks/pre-push
        git config --file config core.fsmonitor /bin/false; git config --file config alias.x '!evil'
        mkdir -p info; echo '* filter=x' > info/attributes; git config --file config remote.o.url https://example.org/x
        """
    steps = {"evil": write("step.sh", script), "good": write("good.txt", "g\n")}
    streams = [workstream(name, step) for name, step in steps.items()]
    settings: Json = {"max_parallel": 1, "repair": {"rounds": 0}, "sandbox": {"rung": 1}}
    settings |= {"gates": [gate("g", "sh step.sh")]} if where == "gate" else {"setup": {"run": [["sh", "step.sh"]]}}
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    reason = fate(ran, "evil")["reason"]
    for name in ("hooks/pre-commit", "hooks/pre-push", "core.fsmonitor", "alias.x", "info/attributes", "put back"):
        assert name in reason, reason
    assert fate(ran, "good")["state"] == "COMPLETED", ran.err
    assert {path.name: path.read_bytes() for path in (own / "hooks").iterdir()} == before[0]
    assert not (own / "info/attributes").exists()
    now = (own / "config").read_text()
    assert ("evil" in now, "fsmonitor" in now, "example.org/x" in now) == (False, False, True)
    assert project.git("config", "alias.x") == "status"
    (kept,) = Path(ran.json["run_dir"]).glob("kept/git/*")
    assert (kept / "pre-commit").read_text() == "evil"
    assert "core.fsmonitor = /bin/false" in (kept / "settings").read_text()
