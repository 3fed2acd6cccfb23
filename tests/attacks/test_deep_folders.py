"""A3: a folder in a folder in a folder: deeper than Python recurses, than a path can say, than there are descriptors."""

import os
from pathlib import Path

import pytest

from branchline.process.trees import remove
from support import Project, sh, workstream, write

LEVELS = 2500
MAKE = f'python3 -c "import os; [(os.mkdir(\'d\'), os.chdir(\'d\')) for _ in range({LEVELS})]; open(\'end\', \'w\').write(\'x\')"'
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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(
        tmp_path / "p",
        {"README.md": "# A project\n", "src/x.py": "x = 1\n", ".gitignore": "out/\n", "branchline.yaml": "sandbox: {rung: 1}\n"},
    )


@pytest.mark.parametrize("place", PLACES)
def test_a_deep_folder_harms_no_other_workstream(project: Project, place: str) -> None:
    deep = workstream("deep", write("deep.txt", "deep\n"), sh(PLACES[place]))
    ran = project.run_plan(deep, workstream("other", write("other.txt", "other\n")))
    assert "Traceback" not in ran.err
    assert ran.code == 0, ran.err
    assert project.git("show", "main:other.txt") == "other"
    for command in (["status"], ["show", "deep"], ["gc"], ["gc", "--kept"], ["list"]):
        assert project.branchline(*command).code == 0, command
