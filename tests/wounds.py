"""What a kill or a person can leave wrong of a run, done on purpose; and what is not the run's, with similar names."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def admin(project: Project, name: str = "a") -> Path:
    return project.root / ".git" / "worktrees" / name


def worktree(project: Project, name: str = "a") -> Path:
    return project.root / ".runs" / RUN / "worktrees" / name


def touch(*names: str) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        for name in names:
            (project.root / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
            (project.root / ".git" / name).touch()

    return make


def registration(name: str, content: str | None) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        (admin(project) / name).unlink()
        if content is not None:
            (admin(project) / name).write_text(content)

    return make


def all_empty(project: Project) -> None:
    for file in admin(project).iterdir():
        if file.is_file():
            file.write_text("")


def unregistered(project: Project) -> None:
    shutil.rmtree(admin(project))


def pointer(content: str | None) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        (worktree(project) / ".git").unlink()
        if content is not None:
            (worktree(project) / ".git").write_text(content)

    return make


def pointer_to_another(project: Project) -> None:
    (worktree(project) / ".git").write_bytes((worktree(project, "b") / ".git").read_bytes())


def pointer_folder(project: Project) -> None:
    (worktree(project) / ".git").unlink()
    subprocess.run(["git", "init", "-q", str(worktree(project))], check=True)
    (worktree(project) / ".git" / "precious").write_text("kept")


def folder_gone(project: Project) -> None:
    shutil.rmtree(worktree(project))


def folder_replaced(project: Project) -> None:
    worktree(project).rename(project.root.parent / "was-a")
    worktree(project).symlink_to(project.root.parent)


def git_moved(project: Project) -> None:
    project.git("worktree", "unlock", str(worktree(project)))
    project.git("worktree", "move", str(worktree(project)), str(project.root.parent / "moved"))


def says_elsewhere(project: Project) -> None:
    (admin(project) / "gitdir").write_text("/nowhere/at/all/.git\n")


def unlocked(project: Project) -> None:
    project.git("worktree", "unlock", str(worktree(project)))


def ref(name: str, to: str | None) -> Callable[[Project], str]:
    return lambda project: project.git(
        "update-ref", *(("-d", name) if to is None else (name, project.git("rev-parse", to)))
    )


def removal_unfinished(project: Project) -> None:
    half = project.root / ".git" / f"branchline-removed-{RUN}@old"
    half.mkdir()
    (half / "HEAD").touch()
    (worktree(project, ".removed-a") / "src").mkdir(parents=True)


def scratch_registered(project: Project) -> None:
    place = project.root / ".runs" / RUN / "scratch" / "task_008_gate_a-0123456789ab"
    project.git("worktree", "add", "-q", "--lock", "--detach", str(place))
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
WOUNDS: dict[str, Wound] = {
    "index.lock": Wound(touch("worktrees/a/index.lock"), "worktrees/a/index.lock is left"),
    "HEAD.lock": Wound(touch("worktrees/a/HEAD.lock"), "worktrees/a/HEAD.lock is left"),
    "log lock": Wound(touch("worktrees/a/logs/HEAD.lock"), "worktrees/a/logs/HEAD.lock is left"),
    "branch.lock": Wound(touch(f"{FEATURE}.lock"), "is left of a git that was killed"),
    "integration.lock": Wound(touch(f"refs/heads/integration/{RUN}.lock"), "is left of a git that was killed"),
    "own ref.lock": Wound(touch(f"{OWN}/head.lock", f"{OWN}/deep/er.lock"), "is left of a git that was killed"),
    "commondir empty": Wound(registration("commondir", ""), "lacks commondir"),
    "commondir gone": Wound(registration("commondir", None), "lacks commondir"),
    "commondir elsewhere": Wound(registration("commondir", "/elsewhere\n"), "lacks commondir"),
    "gitdir empty": Wound(registration("gitdir", ""), "lacks gitdir"),
    "gitdir gone": Wound(registration("gitdir", None), "lacks gitdir"),
    "HEAD empty": Wound(registration("HEAD", ""), "lacks HEAD"),
    "HEAD rubbish": Wound(registration("HEAD", "rubbish"), "lacks HEAD"),
    "our mark gone": Wound(registration("branchline", None), "lacks our mark"),
    "index empty": Wound(registration("index", ""), "its index is gone"),
    "everything empty": Wound(all_empty, "lacks HEAD and commondir and gitdir"),
    "registration gone": Wound(unregistered, "its registration is gone"),
    "registration elsewhere": Wound(says_elsewhere, "says that it is at /nowhere/at/all"),
    "unlocked": Wound(unlocked, "is not locked any more"),
    "pointer gone": Wound(pointer(None), "its .git does not lead to it"),
    "pointer elsewhere": Wound(pointer("gitdir: /elsewhere\n"), "its .git does not lead to it"),
    "pointer to another": Wound(pointer_to_another, "its .git does not lead to it"),
    "pointer a repository": Wound(pointer_folder, "its .git does not lead to it"),
    "moved by git": Wound(git_moved, "it was moved to"),
    "folder gone": Wound(folder_gone, "its folder is gone"),
    "folder of b gone": Wound(lambda project: shutil.rmtree(worktree(project, "b")), "its folder is gone"),
    "folder replaced": Wound(folder_replaced, "something else is in its folder's place"),
    "removal unfinished": Wound(removal_unfinished, "its removal was not finished"),
    "scratch": Wound(scratch_registered, "left of a step that was killed"),
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
    removed, other = git / f"branchline-removed-{near}@a", git / "branchline-removed-"
    for folder in (removed, other, outside / ".removed-a"):
        folder.mkdir()
        (folder / "file").write_text("theirs")
    worktree(project, ".removed-theirs").mkdir()
    refs = [f"feature/a-{near}", f"feature/aa-{RUN}", f"my/feature/a-{RUN}", f"integration/{near}"]
    return [
        outside,
        removed,
        other,
        worktree(project, ".removed-theirs"),
        project.root / ".runs" / near,
        git / "refs" / "branchline" / near,
        *(git / "refs" / "heads" / name for name in refs),
        *(
            git / name
            for name in ("packed-refs.lock", "config", "HEAD", "hooks", "info", "refs/tags", "refs/heads/main")
        ),
        *(one for one in (git / "worktrees").iterdir() if one.name not in {"a", "b"}),
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
