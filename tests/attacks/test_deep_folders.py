"""A3: a folder in a folder in a folder: deeper than Python recurses, than a path can say, than there are descriptors."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from branchline.process.trees import remove
from support import Project, sh, workstream, write

LEVELS = 2500
MAKE = (
    f"python3 -c \"import os; [(os.mkdir('d'), os.chdir('d')) for _ in range({LEVELS})]; open('end', 'w').write('x')\""
)
PLACES = {
    "worktree": MAKE,
    "a folder of the tree": f"cd src && {MAKE}",
    "an ignored folder": f"mkdir out && cd out && {MAKE}",
    "HOME": f'cd "$HOME" && {MAKE}',
    "TMPDIR": f'cd "$TMPDIR" && {MAKE}',
    "git": f"cd .git/refs && {MAKE}",
    "a repository": f"mkdir r && cd r && git init -q . && {MAKE}",
    "locked": f"{MAKE}; chmod 0 d/d d",
}
DEEP = {"worktree", "a folder of the tree", "locked"}
REFUSED = {*DEEP, "a repository"}  # as a nested repository always is


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield Project.make(
        tmp_path / "p",
        {
            "README.md": "# A project\n",
            "src/x.py": "x = 1\n",
            ".gitignore": "out/\n",
            "branchline.yaml": "sandbox: {rung: 1}\n",
        },
    )
    remove(tmp_path)  # as pytest cannot


@pytest.mark.parametrize("place", PLACES)
def test_a_deep_folder_harms_no_other_workstream(project: Project, place: str) -> None:
    deep = workstream("deep", write("deep.txt", "deep\n"), sh(PLACES[place]))
    other = workstream("other", write("other.txt", "other\n"))
    ran = project.run({"goal": "g", "workstreams": [deep, other]}, {"ship": {"mode": "merge"}})
    assert "Traceback" not in ran.err
    assert ran.code == (5 if place in REFUSED else 0), ran.err + ran.out
    assert "too deep" in ran.err or place not in DEEP
    assert ("COULD NOT CHECK" in ran.err) == (place in {"HOME", "TMPDIR"})
    assert project.show("main", "other.txt") == "other\n"
    records = project.records()
    task = next(str(one["task_id"]) for one in records if str(one.get("task_id")).endswith("execute_deep"))
    for command in (["status"], ["show", records[0]["run_id"], task], ["gc"], ["gc", "--kept"], ["list"]):
        again = project.branchline(*command)
        assert "Traceback" not in again.err
        assert again.code == 0, (command, again.err)
