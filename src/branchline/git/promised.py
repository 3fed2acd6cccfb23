"""Objects that a partial clone lacks until a remote is asked for them (git-rev-list(1), "--missing")."""

from branchline.errors import GitError
from branchline.git.command import words
from branchline.git.repo import Repo

DEEPEST = 100  # a clone without trees is fetched one level of folders at a time


def lacking(repo: Repo, commit: str) -> list[str]:
    """The objects of a commit's tree that are promised by a remote, and not here."""
    if not repo.user.promisors:
        return []
    said = repo.user.call("rev-list", "--objects", "--missing=print", "--no-walk", commit).decode()
    return [line[1:] for line in said.splitlines() if line.startswith("?")]


def bring(repo: Repo, commit: str) -> None:
    """Fetch what is lacking with the user's git, which knows the remote and its credentials. Raises GitError.

    This is how git itself fetches an object that it comes upon (promisor-remote.c), but all of them at once.
    """
    wanted = lacking(repo, commit)
    for _ in range(DEEPEST if wanted else 0):
        remote = next(iter(repo.user.promisors))
        asked = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")
        names = "".join(f"{oid}\n" for oid in wanted).encode()
        done = repo.user.status_of("-c", "fetch.negotiationAlgorithm=noop", "fetch", remote, *asked, stdin=names)
        if done.code != 0:
            text = f"this partial clone lacks {len(wanted)} objects of {commit[:12]}, and {remote} does not give them"
            raise GitError(f"{text}: {words(done)}", hint=f"git fetch {remote}")
        if not (wanted := lacking(repo, commit)):
            return
