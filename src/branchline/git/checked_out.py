"""What a checkout of a tree writes, so that files nobody touched can be told from those that an agent changed."""

import filecmp
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from branchline.git.command import Git
from branchline.git.objects import fields
from branchline.git.screen import GITLINK, PLAIN

_CONVERTING = ("text", "eol", "crlf", "ident", "filter", "working-tree-encoding")


def untouched(git: Git, base_index: Path, folder: Path, paths: Collection[str]) -> set[str]:
    """Return those of the paths whose bytes in the work tree are what a checkout of the base writes.

    git cleans some of these to other content than the base has: CRLF files that `* text` came after, files stored
    before their filter was configured, filters that do not give back what they took. `base_index` holds the base.
    """
    blank = folder / "checkout"
    blank.mkdir()
    base = git.at(blank, base_index)  # the attributes of the base, because no file of the work tree is seen
    asked = b"".join(os.fsencode(f"{path}\0") for path in paths)
    converted = set[str]()
    if base.status_of("config", "--get", "core.autocrlf").stdout.strip() not in (b"", b"false"):
        converted.update(paths)
    answers = fields(base.call("check-attr", "-z", "--stdin", *_CONVERTING, stdin=asked))
    converted.update(path for path, _, value in zip(answers, answers, answers, strict=True) if value != "unspecified")
    if not converted:
        return set()
    _check_out(base, sorted(converted))
    work_tree = git.work_tree or Path()
    return {path for path in converted if _same(work_tree / path, blank / path)}


def _check_out(base: Git, paths: list[str]) -> None:
    """Write files of the index. A filter that fails stops git for all, so each is tried alone then."""
    waiting = [paths]
    while waiting:
        some = waiting.pop()
        asked = b"".join(os.fsencode(f"{path}\0") for path in some)
        done = base.status_of("checkout-index", "--quiet", "--force", "-z", "--stdin", stdin=asked)
        if done.code != 0 and len(some) > 1:
            waiting += [some[: len(some) // 2], some[len(some) // 2 :]]


def _same(one: Path, other: Path) -> bool:
    plain = all(path.is_file() and not path.is_symlink() for path in (one, other))
    return plain and os.access(one, os.R_OK) and filecmp.cmp(one, other, shallow=False)


def outside_sparse(git: Git, tree_listing: Iterable[str], folder: Path) -> set[str]:
    """Return the files of a tree that a sparse checkout leaves out, as git itself applies the user's patterns.

    git says so only of what it checks out, so it checks out a tree of the same paths in which every file is empty.
    `tree_listing`: lines as `ls-files --stage` prints them.
    """
    blank, objects = folder / "sparse", folder / "sparse-objects"
    for made in (blank, objects):
        made.mkdir()
    aside = git.storing(objects)
    empty = aside.at().text("hash-object", "-w", "--stdin")
    listed = (line.split("\t", 1) for line in tree_listing)
    lines = [os.fsencode(f"{PLAIN} {empty}\t{path}\0") for meta, path in listed if not meta.startswith(GITLINK)]
    same_paths = aside.at(index=folder / "sparse-index")
    same_paths.call("update-index", "-z", "--index-info", stdin=b"".join(lines))
    tree = same_paths.text("write-tree")
    checkout = aside.at(blank, folder / "sparse-checkout-index")
    checkout.call("read-tree", "-m", "-u", tree)
    return {line[2:] for line in fields(checkout.call("ls-files", "-z", "-t")) if line.startswith("S ")}
