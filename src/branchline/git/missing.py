"""Objects that are not here: left out by a partial clone, or gone from where they were borrowed.

A run reads the whole trees of its commits, so what is missing of them is fetched before it starts, by the user's own
git, which knows the remote, its protocol and the credentials.
"""

from collections.abc import Iterable

from branchline.git.command import words
from branchline.git.objects import by_line
from branchline.git.repo import Repo
from branchline.git.user_git import gone

_ROUNDS = 64  # of fetching: without trees, each level of folders takes one
# as git itself fetches what a partial clone lacks (promisor-remote.c)
_FETCH = ("-c", "fetch.negotiationAlgorithm=noop", "-c", "maintenance.auto=false", "-c", "gc.auto=0", "fetch", "-q")
_AS_GIT_FETCHES = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")


def missing(repo: Repo, commits: Iterable[str]) -> list[str]:
    """Return the objects of these commits' trees that are not here, without asking any remote for them."""
    wanted = [*dict.fromkeys(commits)]
    if lost := [oid for oid, (kind, _) in repo.look_up(wanted).items() if kind == "missing"]:
        return lost
    listed = repo.content.call(
        "rev-list", "--objects", "--no-walk", "--missing=print", "--stdin", stdin=by_line(wanted)
    )
    return [line[1:] for line in listed.decode(errors="replace").splitlines() if line.startswith("?")]


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
        said = ""
        for remote in repo.user.promisors:
            done = repo.user.status_of(*_FETCH, remote, *_AS_GIT_FETCHES, stdin=by_line(left))
            if done.code == 0:
                break
            said = words(done)
        else:
            raise gone(repo.user, left, said)
        came, last = came + len(left), left
    raise gone(repo.user, left)
