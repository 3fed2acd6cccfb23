"""What a checkout of a tree writes, so that files nobody touched can be told from those that an agent changed."""

from collections.abc import Collection, Iterable
from pathlib import Path

from branchline.git.command import Git
from branchline.git.folders import same_content
from branchline.git.objects import GITLINK, PLAIN, Entry, attributes, fields, index_lines, refused_by

_CONVERTING = ("text", "eol", "crlf", "ident", "filter", "working-tree-encoding")
_CHECK_OUT = ("checkout-index", "--quiet", "--force", "-z", "--stdin")


def untouched(git: Git, base_index: Path, folder: Path, paths: Collection[str]) -> set[str]:
    """Return those of the paths whose bytes in the work tree are what a checkout of the base writes.

    git cleans some of these to other content than the base has: CRLF files that `* text` came after, files stored
    before their filter was configured, filters that do not give back what they took. `base_index` holds the base.
    """
    blank = folder / "checkout"
    blank.mkdir()
    base = git.at(blank, base_index)  # the attributes of the base, because no file of the work tree is seen
    converted = {path for path, value in attributes(base, paths, *_CONVERTING) if value != "unspecified"}
    if base.status_of("config", "--get", "core.autocrlf").stdout.strip() not in (b"", b"false"):
        converted.update(paths)
    for _ in refused_by(lambda some: base.status_of(*_CHECK_OUT, stdin=some), sorted(converted)):
        pass  # its filter fails, so it cannot be told
    work_tree = git.work_tree or Path()
    return {path for path in converted if same_content(work_tree / path, blank / path)}


def outside_sparse(git: Git, files: Iterable[Entry], folder: Path) -> set[str]:
    """Return the files of a tree that a sparse checkout leaves out, as git itself applies the user's patterns.

    git says so only of what it checks out, so it checks out a tree of the same paths in which every file is empty.
    """
    blank, objects = folder / "sparse", folder / "sparse-objects"
    for made in (blank, objects):
        made.mkdir()
    aside = git.storing(objects)
    empty = aside.at().text("hash-object", "-w", "--stdin")
    emptied = {one.path: (PLAIN, empty) for one in files if one.mode != GITLINK}
    same_paths = aside.at(index=folder / "sparse-index")
    same_paths.call("update-index", "-z", "--index-info", stdin=index_lines(emptied))
    tree = same_paths.text("write-tree")
    checkout = aside.at(blank, folder / "sparse-checkout-index")
    checkout.call("read-tree", "-m", "-u", tree)
    return {line[2:] for line in fields(checkout.call("ls-files", "-z", "-t")) if line.startswith("S ")}
