"""Where a run keeps its record: below the git common directory, so that no cleaning of a checkout reaches it.

A folder that is no checkout keeps its runs in `<root>/.runs`. In a checkout that is a link to the record, unless a tool of
the project would follow it. docs/record-link.md has the experiment behind each rule: which programs do, and which settings
stop them. The files that say so are the project's own, so they may be missing, broken or of any shape: what cannot be read
says no.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

RUNS = ".runs"
RUN_ID = compiled(r"\A(?!.*\.\.)(?!.*(\.lock|\.)$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # also part of a git ref
EXCLUDES = {".runs", ".runs/*", ".runs/**", ".*"}
MANIFEST = compiled(r"^[ \t]*(global-include|(graft|recursive-include)[ \t]+(\.(?![\w-])|\.runs\b|\*))", re.MULTILINE)
PRUNED = compiled(r"^[ \t]*prune[ \t]+\.runs/?[ \t]*$", re.MULTILINE)
PACKAGES = ("vitest", "@biomejs/biome", "vite")
PRETTIER = compiled(r"\A\D*[12]\b")  # Prettier 3 no longer follows links
NODE, WITH_TEST = compiled(r"\bnode(?=\s)"), compiled(r"\s--test\b")


class RunPaths:
    """The files of one run. `root`: a checkout's top folder, or any folder for a plain graph.

    `runs`: the folder of all runs, found if it is not given. A run that was made before records moved below the git
    common directory stays where it is, in the folder `.runs` of its checkout.
    """

    def __init__(self, root: Path, run_id: str, runs: Path | None = None) -> None:
        if not RUN_ID.fullmatch(run_id):
            raise InvalidInput(f"{run_id!r} is not a run id: letters, digits, '_', '.' and '-' only")
        if runs is None:
            home, old = record_home(root), root / RUNS
            runs = old if not (home / run_id).exists() and (old / run_id).is_dir() else home
        self.root, self.run_id, self.runs = root, run_id, runs
        self.run_dir = folder = runs / run_id
        # the name that the run's processes carry: its id, and where it is, because ids can be fixed and runs copied
        self.marker = f"{run_id}@{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
        self.ledger = folder / "logs" / "run.jsonl"  # the truth
        self.head = folder / "logs" / "run.head"  # the high-water mark: how far the ledger is known to have come
        self.lock = folder / "run.lock"  # the lease's; never deleted
        self.owner = folder / "owner.json"  # who holds the lease: for messages only
        self.checkpoints = folder / "checkpoints"  # one file a completed task
        self.checkpoint = folder / "checkpoint.json"  # the whole run at its last checkpoint
        self.artifacts = folder / "artifacts"  # plan, reports, diffs, requests
        self.inbox = folder / "inbox"  # intents that people drop for the live run
        self.scratch = folder / "scratch"  # temporary indexes and objects: nobody's work
        self.kept = folder / "kept"  # what agents left that git cannot hold, moved out of worktrees that went
        self.prompt = folder / "prompt.md"  # what was asked
        self.attempts = folder / "attempts"  # a folder an attempt

    def keep(self) -> Path:
        """The folder `kept`, made for its owner's eyes alone: files with secrets come to lie there."""
        self.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.kept

    def attempt(self, task_id: str, attempt: int) -> Path:
        """The folder of one attempt's own files."""
        return self.attempts / f"{task_id}.{attempt}"  # one folder, not two: making one costs as much as a sync

    def set_aside(self, task_id: str, attempt: int) -> None:
        """Keep what a lost coordinator's go at an attempt left, beside the folder that the next go uses."""
        folder = self.attempt(task_id, attempt)
        if folder.exists():
            lost = (folder.with_name(f"{folder.name}.lost-{number}") for number in count(1))
            folder.rename(next(path for path in lost if not path.exists()))

    def make(self, *more: Path) -> None:
        """Create the folders that every run needs, and `more`. Raises InvalidInput if the place cannot be written."""
        try:
            self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # logs hold what agents and gates printed
            for folder in (self.ledger.parent, self.checkpoints, self.attempts, self.inbox, *more):
                folder.mkdir(parents=True, exist_ok=True)
            show_record(self.root, self.run_id)
        except OSError as error:
            where = error.filename or self.run_dir
            raise InvalidInput(
                f"cannot write {where}: {error.strerror}", hint=f"make {where} writable, or choose another --repo"
            ) from error


def record_home(root: Path) -> Path:
    """The folder of all runs of a checkout (found without git, because every command asks), or of a plain folder."""
    common = common_dir(root)
    return root / RUNS if common is None else common / "branchline" / "runs"


def common_dir(root: Path) -> Path | None:
    """The git common directory of the checkout at `root`, or None if there is none (gitrepository-layout(5))."""
    git_dir = root / ".git"
    try:
        if git_dir.is_file():  # a linked worktree, a submodule, or `git init --separate-git-dir`
            git_dir = root / os.fsdecode(git_dir.read_bytes().removeprefix(b"gitdir: ").removesuffix(b"\n"))
        if not (git_dir / "HEAD").exists():
            return None
        shared = git_dir / "commondir"
        return (git_dir / shared.read_text("utf-8").strip() if shared.exists() else git_dir).resolve()
    except OSError:
        return None


def show_record(root: Path, name: str) -> None:
    """Lead `<root>/.runs` to the record, unseen by git. A folder of old runs stays, with a link to `name` in it."""
    home, shown = record_home(root), root / RUNS
    home.mkdir(parents=True, exist_ok=True)
    if not (home / ".gitignore").exists():  # of git's folder, too: tools such as Black follow the link
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
    if home == shown or followed_by(root):
        return
    with suppress(OSError):  # a checkout that cannot be written has no link, and works
        if shown.is_symlink() and not shown.exists():  # the repository was moved
            shown.unlink()
        if not os.path.lexists(shown):
            excludes, line = home.parent.parent / "info" / "exclude", f"/{RUNS}".encode()
            text = excludes.read_bytes() if excludes.exists() else b""
            if line not in text.splitlines():
                excludes.parent.mkdir(exist_ok=True)
                with excludes.open("ab") as file:
                    file.write(b"%s%s\n" % (b"" if not text or text.endswith(b"\n") else b"\n", line))
            inside = home.is_relative_to(root.resolve())
            shown.symlink_to(os.path.relpath(home, root.resolve()) if inside else home)
        elif not shown.samefile(home):
            (shown / name).symlink_to(home / name)


def followed_by(root: Path) -> str:
    """The tool of the project in `root` that would follow the link, or "" if none would. Reads small files only."""
    pyproject = _parsed(root / "pyproject.toml", tomllib.loads)
    backend = str(_table(pyproject, "build-system").get("build-backend", "setuptools"))
    if backend.startswith("hatchling") and _hatchling_takes(_table(pyproject, "tool", "hatch", "build"), root):
        return "hatchling"
    manifest = _text(root / "MANIFEST.in")
    if backend.startswith("setuptools") and MANIFEST.search(manifest) and not PRUNED.search(manifest):
        return "setuptools"
    package = _parsed(root / "package.json", json.loads)
    needed = {**_table(package, "dependencies"), **_table(package, "devDependencies")}
    for name in PACKAGES:
        if name in needed:
            return name
    if PRETTIER.match(str(needed.get("prettier", ""))):
        return "prettier"
    lines = (line for script in _table(package, "scripts").values() for line in str(script).splitlines())
    return (
        "node --test" if any((at := NODE.search(line)) and WITH_TEST.search(line, at.end()) for line in lines) else ""
    )


def _hatchling_takes(build: dict[str, Any], root: Path) -> bool:
    """Hatchling walks through links into every folder, and knows the top folder's `.gitignore`, not `info/exclude`."""
    settings = {**build, **_table(build, "targets", "sdist")}
    patterns = [*_words(settings.get("exclude"))]
    if settings.get("ignore-vcs") is not True:
        patterns += _text(root / ".gitignore").splitlines()
    if any(pattern.strip().strip("/") in EXCLUDES for pattern in patterns):
        return False
    if only := [*_words(settings.get("only-include")), *_words(settings.get("packages"))]:
        return any(path.removeprefix("./").strip("/") in {"", ".", ".runs"} for path in only)
    include = list(_words(settings.get("include")))
    return not include or not all(map(_anchored, include))


def _anchored(pattern: str) -> bool:
    """Whether a pattern, in the form of `.gitignore`, names a place below the top, and not a name in any folder."""
    first, slash, rest = pattern.removeprefix("/").partition("/")
    named = first not in {"", "**", "*", ".*", ".runs"}
    return named and (pattern.startswith("/") or bool(slash and rest))


def _words(value: object) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _table(value: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _parsed(path: Path, parse: Callable[[str], object]) -> object:
    try:
        return parse(_text(path))
    except (ValueError, RecursionError):
        return {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
