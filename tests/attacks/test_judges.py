"""What an agent brings obeys nobody, and what judges it was not changed by it, or a person sees it first."""

import json
from pathlib import Path

import pytest

from branchline.config.load import load_settings, same_table
from support import Json, Project, Ran, fate, sh, workstream, write

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
