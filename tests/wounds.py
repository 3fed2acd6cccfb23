"""What a kill or a person can leave wrong of a run, done on purpose; and what is not the run's, with similar names."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from branchline.git.workspace import DRAFT, REMOVED
from support import SEAM, Project

RUN = SEAM["BRANCHLINE_RUN_ID"]
MAINTENANCE = (
    "reflog expire --expire=now --all",
    "repack -adq",
    "gc --prune=now --quiet",
    "worktree prune",
    "pack-refs --all --prune",
)
OWN = f"refs/branchline/{RUN}"


@dataclass(frozen=True)
class Wound:
    """`make` does it; `said` is part of what is found; `mended`: whether repair mends it by itself."""

    make: Callable[[Project], object]
    said: str
    mended: bool = True


def touch(*names: str) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        for name in names:
            (project.root / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
            (project.root / ".git" / name).touch()

    return make


def ref(name: str, to: str | None) -> Callable[[Project], str]:
    return lambda project: project.git(
        "update-ref", *(("-d", name) if to is None else (name, project.git("rev-parse", to)))
    )


def landing(*locks: str, claimed: bool = False) -> Callable[[Project], None]:
    """The locks that a git left that was killed while it moved target and tag, with what it wrote into them."""

    def make(project: Project) -> None:
        commit = project.git("rev-parse", f"{OWN}/gate/b-1")
        mark = project.git("commit-tree", "-m", "landing", "-p", commit, "-p", "main", f"{commit}^{{tree}}")
        project.git("update-ref", f"{OWN}/landing", mark)
        for lock in locks:
            name, _, content = lock.partition("=")
            touch(name)(project)
            (project.root / ".git" / name).write_text(f"{commit}\n" if content else "")
        if claimed:
            old = project.git("rev-parse", "main")
            (project.root / ".git/index.lock").write_text(f"branchline fast-forward {old} {commit}\n")

    return make


def half_a_workspace(name: str) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        (project.workspace(name) / "src").mkdir(parents=True)
        (project.workspace(name) / ".git").mkdir()

    return make


def scratch(project: Project) -> None:
    (project.work() / "c" / "task_008_gate_a-0123456789ab" / "src").mkdir(parents=True)
    (project.root / ".runs" / RUN / "scratch" / "index-x").mkdir()


def orphan(project: Project) -> None:
    """A process of the run that outlived its coordinator."""
    from branchline.ledger.paths import RunPaths
    from branchline.process.sweep import MARKER

    marker = RunPaths(project.root, RUN).marker + "/task_006_execute_a/1"
    subprocess.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 &"], env={**os.environ, MARKER: marker}, check=True)


def checked_out_elsewhere(project: Project) -> None:
    """A person moves a branch of the run and works on it."""
    place = project.root.parent / "elsewhere"
    project.git("worktree", "add", "-q", "--force", str(place), f"feature/b-{RUN}")
    subprocess.run(["git", "-c", "user.name=u", "-c", "user.email=u", "commit", "-q", "--allow-empty", "-m", "mine"],
                   cwd=place, check=True)  # fmt: skip


FEATURE, OTHER = f"refs/heads/feature/a-{RUN}", f"refs/heads/feature/b-{RUN}"
LEFT = "a step that was killed left it"
WOUNDS: dict[str, Wound] = {
    "branch.lock": Wound(touch(f"{FEATURE}.lock"), "a git that was killed left it"),
    "integration.lock": Wound(touch(f"refs/heads/integration/{RUN}.lock"), "a git that was killed left it"),
    "own ref.lock": Wound(touch(f"{OWN}/head.lock", f"{OWN}/deep/er.lock"), "a git that was killed left it"),
    "target.lock": Wound(landing("refs/heads/main.lock=commit"), "refs/heads/main.lock: a git that was killed left it"),
    "tag.lock": Wound(landing(f"refs/tags/release/{RUN}.lock"), f"release/{RUN}.lock: a git that was killed left it"),
    "removal unfinished": Wound(half_a_workspace(f"{REMOVED}a"), f"{REMOVED}a: {LEFT}"),
    "workspace half made": Wound(half_a_workspace(f"{DRAFT}c"), f"{DRAFT}c: {LEFT}"),
    "scratch": Wound(scratch, f"task_008_gate_a-0123456789ab: {LEFT}"),
    "branch gone": Wound(ref(OTHER, None), "is gone"),
    "branch moved": Wound(ref(OTHER, "main"), "was moved"),
    "base gone": Wound(ref(f"{OWN}/base/a", None), "is gone"),
    "base moved": Wound(ref(f"{OWN}/base/b", f"{OWN}/gate/a-1"), "was moved"),
    "batch gone": Wound(ref(f"{OWN}/gate/a-1", None), "is gone"),
    "batch moved": Wound(ref(f"{OWN}/gate/b-1", "main"), "was moved"),
    "attempt gone": Wound(ref(f"{OWN}/attempts/task_006_execute_a/1", None), "is gone"),
    "checkpoint gone": Wound(ref(f"{OWN}/checkpoint/codegate/b", None), "is gone"),
    "named checkpoint gone": Wound(ref(f"{OWN}/checkpoint/validate-pass/b", None), "is gone"),
    "orphan": Wound(orphan, "nobody drives the run"),
    "checked out elsewhere": Wound(checked_out_elsewhere, "it is checked out at", mended=False),
}


def _link_in_its_place(project: Project) -> None:
    project.workspace("a").rename(project.root.parent / "was-a")
    project.workspace("a").symlink_to(project.root.parent / "was-a")


def _links_gone(project: Project) -> None:
    for link in project.work().parent.glob("objects*"):
        link.unlink()


RUINS: dict[str, Callable[[Project], object]] = {
    "its git is gone": lambda project: shutil.rmtree(project.workspace("a") / ".git"),
    "its HEAD is garbage": lambda project: (project.workspace("a") / ".git/HEAD").write_bytes(b"\0\xff"),
    "its folder is gone": lambda project: shutil.rmtree(project.workspace("a")),
    "a link is in its place": _link_in_its_place,
    "both are gone": lambda project: shutil.rmtree(project.work() / "w"),
    "the work area is gone": lambda project: shutil.rmtree(project.work()),
    "the links to the objects are gone": _links_gone,
}
"""What can be made of a workspace: nothing to mend, the run goes on."""


def foreign(project: Project) -> list[Path]:
    """Worktrees, refs, locks and folders of other people and runs, with names like ours; their places."""
    git, near = project.root / ".git", f"{RUN}X"
    outside = project.root.parent / "foreign"
    for number, branch in enumerate((f"feature/a-{near}", f"feature/aa-{RUN}", f"my/feature/a-{RUN}")):
        project.git("worktree", "add", "-q", "-b", branch, str(outside / f"{number}" / "a"))
    damaged = Path(project.git("rev-parse", "--path-format=absolute", "--git-path", "worktrees/a2"))
    (damaged / "gitdir").write_text("")
    project.git("worktree", "add", "-q", "--detach", "--lock", str(project.root / ".runs" / near / "worktrees" / "a"))
    for name in (f"refs/branchline/{near}/base/a", f"refs/heads/integration/{near}", f"refs/tags/{RUN}"):
        project.git("update-ref", name, "main")
    locks = [f"refs/heads/feature/a-{near}.lock", f"refs/heads/my/feature/a-{RUN}.lock", f"refs/tags/{RUN}.lock",
             f"refs/branchline/{near}/base/a.lock", "worktrees/a2/index.lock", "packed-refs.lock"]  # fmt: skip
    touch(*locks)(project)
    other = project.work().parent / "ffffffff"
    for folder in (other / "w" / "a", other / "w" / f"{DRAFT}a", other / "c" / "task_008_gate_a-0123456789ab"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("theirs")
    (project.workspace("theirs")).mkdir()
    refs = [f"feature/a-{near}", f"feature/aa-{RUN}", f"my/feature/a-{RUN}", f"integration/{near}"]
    return [
        outside,
        other,
        project.workspace("theirs"),
        project.root / ".runs" / near,
        git / "refs" / "branchline" / near,
        *(git / "refs" / "heads" / name for name in refs),
        *(
            git / name
            for name in ("packed-refs.lock", "config", "HEAD", "hooks", "info", "refs/tags", "refs/heads/main")
        ),
        *(one for one in (git / "worktrees").iterdir() if one.name != "a"),
        *(git / name for name in locks),
    ]


def bytes_of(places: list[Path]) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time of the last change and content of everything at and below these places."""
    found = {}
    for place in places:
        for path in (place, *sorted(place.rglob("*"))) if place.is_dir() else (place,):
            seen = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (seen.st_mode, seen.st_mtime_ns if path.is_file() else 0, content)
    return found
