"""Every attack of the corpus, through the real pipeline, without a sandbox and in it."""

import fnmatch
import hashlib
import os
import stat
from pathlib import Path

import pytest

from branchline.ledger.paths import show_record
from branchline.sandbox.probe import programs
from hostile.attacks import ALL, FILES, GIT_DIRECTORY, PRELUDE, RUN_FOLDER, Attack
from support import Json, Project, Ran, fate, sh, workstream, write
from witness import files_below

ALL_OF_IT = pytest.mark.skipif(not os.environ.get("HOSTILE"), reason="takes its time: make hostile")
SEALED = [ALL_OF_IT, pytest.mark.skipif(not list(programs(os.environ)), reason="bubblewrap is not installed")]
RUNGS = [1, pytest.param(3, marks=SEALED)]
SETTINGS: Json = {
    "approvals": {"protected": "reject"},
    "repair": {"rounds": 0},
    "retry": {"max_attempts": 4, "backoff": "fixed", "base_seconds": 0.02},
}
GOOD = 2


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of every file of the git directory that no run has to write."""
    ours, found = {"objects", "refs", "logs", "branchline"}, {}
    for path in sorted((root / ".git").rglob("*")):
        part = path.relative_to(root / ".git").parts[0]
        alternates = path == root / ".git/objects/info/alternates"
        if (part in ours and not alternates) or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
        found[str(path)] = (stat.S_IFMT(path.lstat().st_mode), hashlib.sha256(content).digest())
    return found


def attacked(tmp_path: Path, attacks: tuple[Attack, ...], rung: int) -> tuple[Project, Ran]:
    """Run the attacks beside good workstreams; whatever they are, nothing of the user's may change."""
    project = Project.make(tmp_path / "p", {"README.md": "# A project\n", "src/x.py": "x = 1\n", "old.txt": "o\n"})
    project.patience = 1500
    project.git("branch", "side")
    project.git("tag", "v1")
    outside, canary, home = tmp_path / "outside.txt", tmp_path / "canary", tmp_path / "home"
    outside.write_text("the user's own\n")
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = me\n")
    key = home / ".config/branchline/seal/key"  # that of an earlier run: the first one makes it
    key.parent.mkdir(mode=0o700, parents=True)
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    trap = tmp_path / "trap"
    trap.write_text(f'#!/bin/sh\necho "$0 $@" >> {canary}\n')
    trap.chmod(0o755)
    show_record(project.root, "R")
    refs = project.git("for-each-ref", "refs/heads/main", "refs/heads/side", "refs/tags/v1", "refs/replace")
    before = files_below(project.root), everything(project.root), files_below(home)
    names = f"CANARY={trap}; OUTSIDE={outside}; ROOT={project.root}; export CANARY OUTSIDE ROOT\n{PRELUDE}"
    streams = [workstream(one.name, sh(f"{names}{{\n{one.script}\n}}")) for one in attacks]
    good = [workstream(f"good{n}", write(f"good{n}.txt", "g\n")) for n in range(GOOD)]
    settings = {**SETTINGS, "sandbox": {"rung": rung}, "max_parallel": 3}
    own = {"BRANCHLINE_SANDBOX": str(rung), "XDG_CACHE_HOME": str(tmp_path / "cache")}  # the home stays as it is

    env = {"HOME": str(home), "CANARY": str(trap), **own}
    ran = project.run({"workstreams": [*streams, *good]}, settings, **env)
    assert "Traceback" not in ran.err
    assert ran.code in {0, 5}, ran.err
    assert not canary.exists(), canary.read_text()
    after = files_below(project.root), everything(project.root), files_below(home)
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert after[2] == before[2]
    assert project.git("for-each-ref", "refs/heads/main", "refs/heads/side", "refs/tags/v1", "refs/replace") == refs
    assert outside.read_text() == "the user's own\n"
    assert outside.stat().st_mode & 0o777 == 0o644
    assert project.branchline("verify").code == 0
    return project, ran


def judge(project: Project, ran: Ran, attacks: tuple[Attack, ...], *, sealed: bool) -> None:
    """Each has come to what it must come to, and what landed is what may land."""
    landed = set(project.files(ran.json["integration"]["branch"])) - {"README.md", "src/x.py", "old.txt"}
    for n in range(GOOD):
        assert fate(ran, f"good{n}")["state"] == "COMPLETED"
        landed.remove(f"good{n}.txt")
    allowed: set[str] = set()
    wrong = []
    for one in attacks:
        end, want = fate(ran, one.name), one.fate
        if sealed:
            want = one.sealed or want
        good = end["state"] == "COMPLETED"
        if want != "any" and (
            good != (want == "lands") or (not good and not sealed and one.reason not in end["reason"])
        ):
            wrong.append((one.name, want, end["state"], end["reason"]))
        if good:
            allowed.update(one.files or {"x.txt", "y.txt"} if want == "any" else one.files)
        else:
            assert end["reason"], one.name
    assert wrong == [], "\n".join(map(str, wrong))
    strays = {path for path in landed if not any(fnmatch.fnmatchcase(path, glob) or path == glob for glob in allowed)}
    assert strays == set()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("part", [0, 1])
def test_files_that_lie(tmp_path: Path, part: int, rung: int) -> None:
    attacks = tuple(one for one in FILES if not one.slow)[part::2]
    project, ran = attacked(tmp_path, attacks, rung)
    judge(project, ran, attacks, sealed=rung == 3)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rung", RUNGS)
def test_hands_on_the_git_directory(tmp_path: Path, rung: int) -> None:
    project, ran = attacked(tmp_path, GIT_DIRECTORY, rung)
    judge(project, ran, GIT_DIRECTORY, sealed=rung == 3)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rung", RUNGS[1:])
def test_hands_on_what_is_the_users(tmp_path: Path, rung: int) -> None:
    project, ran = attacked(tmp_path, RUN_FOLDER, rung)
    judge(project, ran, RUN_FOLDER, sealed=True)


def alone(tmp_path: Path, name: str) -> tuple[Project, Ran]:
    """One attack beside a good workstream, without a sandbox."""
    project = Project.make(tmp_path / "p")
    script = next(one.script for one in RUN_FOLDER if one.name == name)
    root = f"ROOT={project.root}\n"
    streams = [
        workstream("evil", sh(root + PRELUDE + script)),
        workstream("good", {"sleep": 0.5}, write("g.txt", "g\n")),
    ]
    return project, project.run(
        {"workstreams": streams}, {**SETTINGS, "sandbox": {"rung": 1}, "ship": {"mode": "merge"}}
    )


def test_a_ledger_that_an_agent_has_written_is_refused(tmp_path: Path) -> None:
    project, ran = alone(tmp_path, "ledger")
    assert ran.code == 1, ran.err
    assert "does not verify: record" in ran.err
    assert project.files("main") == ["README.md", "old.txt", "src/x.py"]
    assert project.branchline("verify").code == 1


@ALL_OF_IT
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [one.name for one in ALL if one.slow])
def test_what_takes_long(tmp_path: Path, name: str) -> None:
    attacks = tuple(one for one in ALL if one.name == name)
    project, ran = attacked(tmp_path, attacks, 1)
    judge(project, ran, attacks, sealed=False)


def test_the_corpus_is_large_and_its_names_are_its_own() -> None:
    names = [one.name for one in ALL]
    assert len(names) == len(set(names))
    assert len(names) >= 100
