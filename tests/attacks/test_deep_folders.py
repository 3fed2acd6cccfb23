"""A3: a folder in a folder in a folder: deeper than Python recurses, than a path can say, than there are descriptors."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from branchline.git.folders import delete_tree, files_below, let_us_in, move
from branchline.process.redaction import Secrets
from branchline.process.trees import remove, walk
from support import Project, fate, sh, workstream, write

LEVELS = 1100
MAKE = f"""python3 -c "import os
for _ in range({LEVELS}): os.mkdir('deep'); os.chdir('deep')
open('end', 'w').write('x')"
"""
PLACES = {
    "worktree": MAKE,
    "tree": f"cd src && {MAKE}",
    "ignored": f"mkdir out && cd out && {MAKE}",
    "home": f'cd "$HOME" && {MAKE}',
    "tmp": f'cd "$TMPDIR" && {MAKE}',
    "git": f"cd .git/refs && {MAKE}",
    "repository": f"mkdir r && cd r && git init -q . && {MAKE}",
    "locked": f"{MAKE} chmod 0 deep/deep deep",
}
REFUSED = {"worktree", "tree", "locked", "repository"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield Project.make(tmp_path / "p", {"src/x.py": "x = 1\n", ".gitignore": "out/\n"})
    remove(tmp_path)  # as pytest cannot


def test_a_deep_folder_harms_no_other_workstream(project: Project) -> None:
    several = [workstream(name, write(f"{name}.txt", "x\n"), sh(make)) for name, make in PLACES.items()]
    other = workstream("other", write("other.txt", "other\n"))
    settings = {"ship": {"mode": "merge"}, "sandbox": {"rung": 1}, "repair": {"rounds": 0}}
    ran = project.run({"goal": "g", "workstreams": [*several, other]}, settings)
    assert "Traceback" not in ran.err
    assert ran.code == 5, ran.err
    states = {name: fate(ran, name)["state"] for name in (*PLACES, "other")}
    assert states == {name: "FAILED" if name in REFUSED else "COMPLETED" for name in states}, ran.err
    assert project.show("main", "other.txt") == "other\n"
    assert "its folders are too deep: all that is in it was left out" in ran.err
    records = project.records()
    told = [one for one in records if "not looked through for secrets" in json.dumps(one)]
    assert {one["context"]["workstream"] for one in told if one["event"] == "agent_called"} == {"home", "tmp"}
    tasks = [
        str(one["task_id"]) for one in records if str(one.get("task_id")).endswith(("execute_home", "execute_tree"))
    ]
    shown = [["show", records[0]["run_id"], task] for task in dict.fromkeys(tasks)]
    assert len(shown) == 2
    for command in (["status"], *shown, ["gc"], ["gc", "--kept"], ["list"]):
        again = project.branchline(*command)
        assert "Traceback" not in again.err
        assert again.code == 0, (command, again.err)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A deep folder with a file in each; each third level may not be entered."""
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for level in range(LEVELS):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.symlink("/", "link", dir_fd=here)
        os.mkdir("deep", dir_fd=here)
        os.mkdir(".0", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        if level % 3 == 0:
            os.fchmod(here, 0o500)
        os.close(here)
        here = inner
    os.close(here)
    yield top
    remove(tmp_path)


def test_a_deep_folder_is_walked_and_removed(deep: Path) -> None:
    seen = list(walk(deep))
    assert len(seen) == 2 * LEVELS + 1
    assert sum(len(one.names) for one in seen) == 2 * LEVELS
    assert 0 < len(list(files_below(deep))) < 2 * LEVELS
    assert "not looked through" in Secrets({}).clean_folder(deep)
    let_us_in(deep)
    delete_tree(deep)
    assert not deep.exists()


def test_a_deep_folder_stays_where_it_is_rather_than_losing_its_end(
    deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(Path, "rename", elsewhere)
    with pytest.raises(OSError, match="too deep"):
        move(deep, deep.with_name("moved"))
    assert len(list(walk(deep))) == 2 * LEVELS + 1
