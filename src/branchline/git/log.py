"""Commits one after another: when they were made and which files they changed."""

import os
from collections.abc import Iterable

from branchline.git.objects import ObjectStore


def newest_commits(store: ObjectStore, commit: str, most: int) -> tuple[list[tuple[str, int]], bool]:
    """Return the newest commits that `commit` holds, merges left out, as (id, unix time), and whether that is all.

    A commit whose object is missing ends them.
    """
    options = ("--timestamp", "--no-merges", f"--max-count={most}", "--end-of-options", commit, "--")
    done = store.content.status_of("rev-list", *options)
    pairs = (line.split() for line in done.stdout.decode().splitlines())
    return [(found, int(when)) for when, found in pairs], done.code == 0


def time_of(store: ObjectStore, commit: str) -> int:
    """Return the time of a commit in unix seconds, 0 if it is missing."""
    done = store.content.status_of("rev-list", "--timestamp", "--no-walk", "--end-of-options", commit, "--")
    return int(done.stdout.split()[0]) if done.code == 0 else 0


def changed_files(store: ObjectStore, commits: Iterable[str]) -> tuple[dict[str, list[str]], bool]:
    """Return the files that each commit changed, against its parent, and whether that is all.

    A root commit and one that changed nothing have no files; a rename is both files. A tree that is missing ends them.
    """
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    form = "--format=%x00%H"  # an empty field, which no file name is, stands before each commit
    done = store.content.status_of("diff-tree", "--stdin", "-r", "-z", "--name-only", "--no-renames", form, stdin=asked)
    found = {}
    for record in os.fsdecode(done.stdout).removeprefix("\0").split("\0\0"):
        commit, _, names = record.partition("\0\n")
        if names:
            found[commit] = names.removesuffix("\0").split("\0")
    return found, done.code == 0
