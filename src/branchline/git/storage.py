"""What of a repository's storage a run cannot honour, found before anybody is paid: objects, filters, Git LFS."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from branchline.core.refs import Obstacle, branch_ref
from branchline.errors import BranchlineError, InvalidInput
from branchline.git.command import Git, ObjectsGone, words
from branchline.git.filters import LFS_POINTER, lfs_missing, lfs_pointer
from branchline.git.objects import attributes, by_line, by_nul
from branchline.git.repo import Repo
from branchline.git.user_git import gone, object_folders
from branchline.process.temporary import temporary

LFS = "lfs"
_ENCRYPTED = b"\0GITCRYPT\0"
_UNSET = frozenset({"unspecified", "unset", "set"})
_MOST_NAMES = 3  # of files, in a message
_ROUNDS = 64  # of fetching: without trees, each level of folders takes one
# as git itself fetches what a partial clone lacks (promisor-remote.c)
_FETCH = ("-c", "fetch.negotiationAlgorithm=noop", "-c", "maintenance.auto=false", "-c", "gc.auto=0", "fetch", "-q")
_AS_GIT_FETCHES = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")


def problems(repo: Repo, base: str, target: str, ship: str) -> list[Obstacle]:
    """Return what a run on the commit `base` would trip over; what can be fetched has been (`fetch`).

    `target`: the branch that is shipped to, in the mode `ship`.
    """
    commits = [base]
    if ship == "merge" and (tip := repo.read_ref(branch_ref(target))):
        commits.append(tip)
    try:
        if lost := missing(repo, commits):
            raise gone(repo.user, lost)
        what, command = "objects are replaced (git replace); runs see the original ones", "git replace --list"
        found = [Obstacle(what, command, fatal=False)] if repo.list_refs("refs/replace") else []
        return [*found, *_filters(repo, base)]
    except BranchlineError as error:
        return [Obstacle(error.message, error.hint)]


def fetch(repo: Repo, commits: Iterable[str]) -> None:
    """Fetch, with the user's git, what a run on these commits needs and is not here: objects, content of Git LFS.

    What cannot be had is left to `problems` to tell.
    """
    wanted, before = [*commits], list[str]()
    with suppress(ObjectsGone):
        for _ in range(_ROUNDS if repo.user.promisors else 0):
            left = missing(repo, wanted)
            fetched = (
                repo.user.status_of(*_FETCH, one, *_AS_GIT_FETCHES, stdin=by_line(left)) for one in repo.user.promisors
            )
            if left in ([], before) or all(done.code != 0 for done in fetched):
                break
            before = left
    for commit in wanted if LFS in repo.user.filters else ():
        with suppress(BranchlineError), _blank(repo.content, commit) as git:
            found = filtered(git, repo, commit).get(LFS, {})
            if found and _without_content(repo, commit, found)[0]:
                repo.user.status_of("lfs", "fetch", _remote(repo), commit)


def missing(repo: Repo, commits: Iterable[str]) -> list[str]:
    """Return the objects of these commits' trees that are not here, without asking any remote for them."""
    wanted = [*dict.fromkeys(commits)]
    if lost := [oid for oid, (kind, _) in repo.look_up(wanted).items() if kind == "missing"]:
        return lost
    listed = repo.content.call(
        "rev-list", "--objects", "--no-walk", "--missing=print", "--stdin", stdin=by_line(wanted)
    )
    return [line[1:] for line in listed.decode(errors="replace").splitlines() if line.startswith("?")]


def require_whole(repo: Repo, commits: Iterable[str]) -> None:
    """Raise InvalidInput unless the objects of all these commits' trees are there."""
    if lost := missing(repo, commits):
        text = f"objects of the run are gone: the object {lost[0]} is gone from {repo.common_dir}"
        raise InvalidInput(text, hint="git fsck --connectivity-only")


def _filters(repo: Repo, base: str) -> Iterator[Obstacle]:
    """Each filter that files of the base go through: whether it is there, and works on one of them."""
    with _blank(repo.content, base) as git:
        for name, found in sorted(filtered(git, repo, base).items()):
            if name not in repo.user.filters:
                yield _unconfigured(repo, name, found)
                continue
            here = found
            if name == LFS:
                absent, left_out, skipped = _without_content(repo, base, found)
                yield from _content_words(repo, base, absent, left_out, skipped)
                here = {path: oid for path, oid in found.items() if path not in absent | left_out}
            if here:
                yield from _tried(repo, git, name, here)


@contextmanager
def _blank(content: Git, base: str) -> Iterator[Git]:
    """Git with the index of the base and a work tree without files, so that the base's own attributes count."""
    with temporary() as folder:
        (folder / "work").mkdir()
        (folder / "objects").mkdir()
        git = content.at(folder / "work", folder / "index").storing(folder / "objects")
        git.call("read-tree", base)
        yield git


def filtered(git: Git, repo: Repo, base: str) -> dict[str, dict[str, str]]:
    """Return the files of a commit that attributes send through a filter: filter -> path -> blob."""
    entries = {entry.path: entry for entry in repo.entries(base)}
    texts = [repo.user.global_attributes, repo.user.info_attributes]
    own = [entry.oid for path, entry in entries.items() if path.rpartition("/")[2] == ".gitattributes"]
    texts += [os.fsdecode(data) for _, data in repo.read_blobs(dict.fromkeys(own))]
    if not any("filter" in text for text in texts):
        return {}
    found: dict[str, dict[str, str]] = {}
    for path, value in attributes(git, (p for p, entry in entries.items() if entry.mode.startswith("100")), "filter"):
        if value not in _UNSET:
            found.setdefault(value, {})[path] = entries[path].oid
    return found


def _unconfigured(repo: Repo, name: str, found: Mapping[str, str]) -> Obstacle:
    """Files that attributes send through a filter that the user's git does not have."""
    small = [oid for oid, size in repo.sizes(found.values()).items() if size < LFS_POINTER]
    blobs = dict(repo.read_blobs([*small[:1], next(iter(found.values()))]))
    what = f"{_named(found)} {'is' if len(found) == 1 else 'are'} stored through the filter {name}, which your git does not have"
    root = shlex.quote(str(repo.root))
    if any(lfs_pointer(data) for data in blobs.values()):
        return Obstacle(what, f"git -C {root} lfs install && git -C {root} lfs pull")
    if any(data.startswith(_ENCRYPTED) for data in blobs.values()):
        return Obstacle(what, f"cd {root} && git-crypt unlock")
    return Obstacle(f"{what}: runs store what agents write there as it is, as your git would", fatal=False)


def _without_content(repo: Repo, base: str, found: Mapping[str, str]) -> tuple[set[str], set[str], set[str]]:
    """Files that Git LFS stores: whose content is absent, is left out by the user's choice, or is never wanted here."""
    programs = repo.user.filters[LFS]
    skip = os.environ.get("GIT_LFS_SKIP_SMUDGE", "0") not in ("", "0", "false")
    if skip or "--skip" in f"{programs.smudge} {programs.process}":
        return set(), set(), set(found)
    small = [oid for oid, size in repo.sizes(found.values()).items() if size < LFS_POINTER]
    named = {oid: one for oid, data in repo.read_blobs(small) if (one := lfs_pointer(data))}
    # where Git LFS looks: in the user's store, and in those beside borrowed objects
    stores = [repo.user.lfs_store, *(folder.parent / "lfs" for folder in object_folders(repo.common_dir)[1:])]
    lost = set(lfs_missing(stores, named.values()))
    absent = {path for path, oid in found.items() if named.get(oid) in lost}
    wanted = _wanted(repo, base) if absent else set()
    return absent & wanted, absent - wanted, set()


def _content_words(
    repo: Repo, base: str, absent: set[str], left_out: set[str], skipped: set[str]
) -> Iterator[Obstacle]:
    again = f"git -C {shlex.quote(str(repo.root))} lfs"
    for paths, why in (
        (skipped, "your git is set up to skip their content"),
        (left_out, "lfs.fetchinclude or lfs.fetchexclude leaves their content out"),
    ):
        if paths:
            text = f"agents and gates see pointers of Git LFS in the place of {_named(paths)}: {why}"
            yield Obstacle(text, f"{again} pull --include= --exclude=", fatal=False)
    if absent:
        text = f"the content of {_named(absent)} is not in the store of Git LFS, {repo.user.lfs_store}"
        yield Obstacle(text, f"{again} fetch {_remote(repo)} {base[:12]}")


def _wanted(repo: Repo, base: str) -> set[str]:
    """The files of a commit whose content Git LFS is to have here, by the user's settings and the tree's own."""
    chosen = []
    for flag, key in (("--include", "lfs.fetchinclude"), ("--exclude", "lfs.fetchexclude")):
        of_tree = repo.user.status_of("config", "--blob", f"{base}:.lfsconfig", "--get", key)
        value = repo.user.storage.get(key) or os.fsdecode(of_tree.stdout).strip()
        chosen += [f"{flag}={value}"] if value else []
    listed = repo.user.call("lfs", "ls-files", "--name-only", *chosen, base)
    return set(os.fsdecode(listed).splitlines())


def _remote(repo: Repo) -> str:
    remotes = os.fsdecode(repo.user.call("remote")).splitlines()
    return "origin" if "origin" in remotes or not remotes else remotes[0]


def _tried(repo: Repo, git: Git, name: str, found: Mapping[str, str]) -> Iterator[Obstacle]:
    """Whether a filter works both ways on the smallest of the files, contained as it will be."""
    sizes = repo.sizes(found.values())
    path = min(found, key=lambda one: (sizes.get(found[one], 0), one))
    done = git.status_of("checkout-index", "--force", "-z", "--stdin", stdin=by_nul([path]))
    if done.code == 0 and b"error: " not in done.stderr:
        done = git.status_of("update-index", "-z", "--stdin", stdin=by_nul([path]))
    if done.code != 0 or b"error: " in done.stderr:
        command = f"git -C {shlex.quote(str(repo.root))} cat-file --filters {shlex.quote(f'HEAD:{path}')}"
        yield Obstacle(f"the filter {name}, through which {_named(found)} is stored, fails: {words(done)}", command)


def _named(paths: Iterable[str]) -> str:
    names = sorted(paths)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
