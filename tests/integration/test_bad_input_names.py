"""File names that hold newlines, quotes, bytes that are no text, and what a shell or git would take for more."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support import Json, Project, fate, workstream, write
from witness import assert_no_worktrees, files_below

NAMES = (
    b"new\nline.txt", b'quo"te\'s.txt', b"not-utf8-\xff\xfe.bin", b"tab\there", b" blank in front", b"-dash", b"*?[x]",
    b":(top)magic", b"back\\slash", "snow\u2603man".encode(), b"esc\x1b[31mape", b"%s{x}$HOME`id`", b"deep \n/er/\xe9",
)  # fmt: skip
MAKE = "import os\nfor name in {names!r}:\n    os.makedirs(os.path.dirname(name) or b'.', exist_ok=True)\n    open(name, 'wb').write(name)\n"


def makes(*names: bytes) -> Json:
    return {"run": [sys.executable, "-I", "-S", "-c", MAKE.format(names=names)]}


def listed(project: Project, revision: str) -> dict[bytes, bytes]:
    """Every file of a commit with its content."""
    names = subprocess.run(
        ["git", "ls-tree", "-r", "-z", revision], cwd=project.root, capture_output=True, check=True
    ).stdout.split(b"\0")[:-1]
    found = {}
    for meta, _, name in (line.partition(b"\t") for line in names):
        oid = meta.split()[2].decode()
        blob = subprocess.run(["git", "cat-file", "blob", oid], cwd=project.root, capture_output=True, check=True)
        found[name] = blob.stdout
    return found


def test_any_name_lands_intact(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "goal": 'Names with \u2603, a "quote" and a\nnewline',
        "workstreams": [
            workstream("a", makes(*NAMES)),
            workstream("b", makes(b"out\nside-\xff"), write("inside.txt", "i\n"), write=["inside.txt"]),
        ],
    }  # fmt: skip
    gates = [{"id": "seen", "verify": [sys.executable, "-c", "import sys; sys.exit(len(sys.argv) < 2)", "{files}"]}]
    ran = project.run(plan, {"ship": {"mode": "merge"}, "gates": gates, "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    assert r"scope: 'out\nside-\udcff': outside the workstream's scope" in fate(ran, "b")["reason"]
    landed = listed(project, "main")
    assert {name: landed[name] for name in NAMES} == {name: name for name in NAMES}
    assert b"out\nside-\xff" not in landed
    in_checkout = {os.fsencode(name): content for name, (_, content) in files_below(project.root).items()}
    assert in_checkout == landed
    assert project.git("status", "--porcelain") == ""
    assert_no_worktrees(project)
    _every_view_shows_them(project, Path(ran.json["run_dir"]))


def _every_view_shows_them(project: Project, run_dir: Path) -> None:
    text = (run_dir / "logs" / "run.jsonl").read_bytes()
    assert text.isascii()
    records = [json.loads(line) for line in text.splitlines()]
    made = next(r for r in records if r["event"] == "execute_ws_complete" and r["context"]["workstream"] == "a")
    assert sorted(map(os.fsencode, made["context"]["files"])) == sorted(NAMES)
    for argv in (
        ("verify",),
        ("show",),
        ("show", run_dir.name, "task_006_execute_a"),
        ("log",),
        ("status",),
        ("list",),
    ):
        for options in ((), ("--json",)):
            shown = project.branchline(*argv, *options)
            assert shown.code == 0, (argv, shown.err)
            assert "Traceback" not in shown.err
            assert "\x1b" not in shown.out
    for locale in ({}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}):
        shown = project.branchline("show", run_dir.name, "task_006_execute_a", **locale)
        assert shown.code == 0, shown.err
    paths = [file["path"] for file in project.branchline("diff", "--json").json["files"]]
    assert sorted(map(os.fsencode, paths)) == sorted(NAMES)
    report = (run_dir / "gate" / "rejected" / "b-1" / "report.md").read_bytes()
    assert b"outside the workstream's scope" in report
    assert b"\xff" not in report


def test_the_patch_of_such_names_applies(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"workstreams": [workstream("a", makes(*NAMES))]})
    assert ran.code == 0, ran.err
    commit = ran.json["integration"]["commit"]
    command = [sys.executable, "-m", "branchline", "diff"]
    patch = subprocess.run(command, cwd=project.root, capture_output=True, check=True).stdout
    subprocess.run(["git", "apply", "--index", "-"], cwd=project.root, input=patch, capture_output=True, check=True)
    assert project.git("write-tree") == project.tree(commit)
    restored = project.branchline("restore", ran.json["run_id"], "a", "--to", str(tmp_path / "again"))
    assert restored.code == 0, restored.err
    found = {os.fsencode(name): content for name, (_, content) in files_below(tmp_path / "again").items()}
    assert found == listed(project, commit)
