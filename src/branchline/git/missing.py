"""Objects that are not here: left out by a partial clone, or gone from where they were borrowed.

A run reads the whole trees of its commits, so what is missing of them is fetched before it starts, by the user's own
git, which knows the remote, its protocol and the credentials.
"""

from collections.abc import Iterable

from branchline.git.command import failed, words
from branchline.git.repo import Repo
from branchline.git.user_git import gone

_ROUNDS = 64  # of fetching: without trees, each level of folders takes one
# as git itself fetches what a partial clone lacks (promisor-remote.c)
_AS_GIT_FETCHES = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")


def missing(repo: Repo, commits: Iterable[str]) -> list[str]:
    """Return the objects of these commits' trees that are not here, without asking any remote for them."""
    asked = "".join(f"{one}\n" for one in dict.fromkeys(commits)).encode()
    known = repo.content.call("cat-file", "--batch-check=%(objectname)", stdin=asked).decode().splitlines()
    if lost := [line.removesuffix(" missing") for line in known if line.endswith(" missing")]:
        return lost
    walk = ("rev-list", "--objects", "--no-walk", "--missing=print", "--stdin")
    done = repo.content.status_of(*walk, stdin=asked)
    if done.code != 0:
        raise failed(f"git cannot list the objects of {repo.root}", done)
    return [
        line.removeprefix("?") for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("?")
    ]


def fetch_missing(repo: Repo, commits: Iterable[str]) -> int:
    """Fetch what is missing of these commits' trees, where a remote promised it; return how many objects came.

    Raises ObjectsGone if they cannot be had.
    """
    wanted, came = [*commits], 0
    last: list[str] = []
    for _ in range(_ROUNDS):
        left = missing(repo, wanted)
        if not left:
            return came
        if left == last or not repo.user.promisors:
            break
        _fetch(repo, left)
        came, last = came + len(left), left
    raise gone(repo.user, left)


def _fetch(repo: Repo, oids: list[str]) -> None:
    said = ""
    for remote in repo.user.promisors:
        quiet = ("-c", "fetch.negotiationAlgorithm=noop", "-c", "maintenance.auto=false", "-c", "gc.auto=0")
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        done = repo.user.status_of(*quiet, "fetch", "--quiet", remote, *_AS_GIT_FETCHES, stdin=asked)
        if done.code == 0:
            return
        said = words(done)
    raise gone(repo.user, oids, said)
