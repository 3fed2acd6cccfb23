"""Submodules in a workspace: filled from the repositories that the user has of them, without a network."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from branchline.git.command import Git, configured
from branchline.git.folders import is_folder
from branchline.git.objects import scratch_index
from branchline.git.own_commits import head_of
from branchline.git.repo import Repo


def known_submodules(repo: Repo, tree: str) -> Iterator[tuple[str, str, str, Path]]:
    """The submodules of a tree that the user has: name, path, commit, and the folder of their objects."""
    entries = repo.entries(tree)
    links = {entry.path: entry.oid for entry in entries if entry.kind == "commit"}
    said = next((entry.oid for entry in entries if entry.path == ".gitmodules" and entry.kind == "blob"), None)
    if not links or said is None:
        return
    for key, path in configured(repo.read_blob(said)) or ():
        name = key.removeprefix("submodule.").removesuffix(".path")
        if key != f"submodule.{name}.path" or path not in links or ".." in name.split("/"):
            continue
        places = [repo.git_dir / "modules" / name, repo.common_dir / "modules" / name, repo.root / path / ".git"]
        for place in places:
            asked = ("cat-file", "-e", f"{links[path]}^{{commit}}")
            if is_folder(place) and Git(place).status_of(*asked).code == 0:
                yield name, path, links[path], (place / "objects").resolve()
                break


def fill(repo: Repo, root: Path, tree: str, make: Callable[[Path, str, Path], Git]) -> None:
    """Check the submodules of `tree` out in the workspace `root`; `make(git_dir, commit, objects)` makes a git directory."""
    for name, path, commit, objects in known_submodules(repo, tree):
        place = root / path
        if os.path.realpath(place.parent) == str(place.parent):
            place.mkdir(exist_ok=True)
            git = make(place / ".git", commit, objects)
            git.at(place).call("read-tree", "--reset", "-u", commit)
            # Without it `git submodule status` calls it not initialised.
            git.call("config", "--file", str(root / ".git" / "config"), f"submodule.{name}.active", "true")


def is_untouched(git: Git, place: Path, commit: str) -> bool:
    """Whether a filled submodule is as it was checked out; `git`: one of ours, that reads no configuration of it."""
    if head_of(place) != commit:
        return False
    with scratch_index(replace(git, lenders=(place / ".git/objects",)), place) as own:
        for question in (("read-tree", commit), ("update-index", "-q", "--refresh"), ("diff-files", "--quiet")):
            if own.status_of(*question).code != 0:
                return False
        return not own.status_of("ls-files", "--others", "--exclude-standard").stdout
