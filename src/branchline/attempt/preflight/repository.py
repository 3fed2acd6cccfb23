"""Questions about the repository: what a run will lack there, and what is in the way of its names and its target."""

import os
from collections.abc import Iterator
from shlex import quote

from branchline.attempt.preflight.remark import Remark, remarks_on
from branchline.config.settings import Ship
from branchline.core.model.plan import Plan
from branchline.core.refs import Refs, holds_runs, in_the_way, needed, tag_ref, usual_fetch
from branchline.git.landing.checkout import is_dirty
from branchline.git.landing.target import checked_out_at, obstacles
from branchline.git.objects import fields
from branchline.git.repo import Repo
from branchline.git.user_git import is_true
from branchline.git.workspace import known_submodules

FETCHING = r"^(fetch\.prunetags|remote\..*\.(prunetags|fetch|mirror))$"


def of_repository(repo: Repo, commit: str, *, dirty: bool) -> Iterator[Remark]:
    """What a run that starts at `commit` will lack."""
    if not os.access(repo.common_dir / "objects", os.W_OK):
        yield Remark("repository", f"the git directory {repo.common_dir} cannot be written", stops=True)
    if repo.is_shallow():
        text = "the repository is a shallow clone: history before its cut is not there to merge with"
        yield Remark("history", text, "git fetch --unshallow")
    if dirty:
        yield Remark("checkout", "the checkout has uncommitted changes: they are not part of the run", "git status")
    yield from _submodules(repo, commit)
    yield from _fetching(repo)


def of_names(repo: Repo, run_id: str, plan: Plan | None, ship: Ship) -> Iterator[Remark]:
    """Every name of a ref that the run will need, tried before anything is paid for."""
    tag = Refs(run_id).tag(ship.tag)
    if tag and repo.refs.status_of("check-ref-format", tag_ref(tag)).code != 0:
        text = f"ship.tag gives {tag!r}, which git does not take as the name of a tag"
        yield Remark("ship.tag", text, stops=True)
        ship = Ship(mode=ship.mode, tag="")
    others = [ref for ref in repo.list_refs("refs") if run_id not in ref]  # its own may be there already
    folded = is_true(repo.user.storage.get("core.ignorecase", "false"))
    wanted = needed(run_id, plan, ship.mode, ship.tag)
    yield from remarks_on("names", in_the_way(wanted, others, ignore_case=folded))


def of_target(repo: Repo, target: str, ship: Ship) -> Iterator[Remark]:
    """Whether the branch that is shipped to can move at all."""
    if ship.mode != "merge" or not target:
        return
    yield from remarks_on("target", obstacles(repo, target))
    for checkout in checked_out_at(repo, target):
        if is_dirty(repo, checkout):
            text = f"{checkout} is on {target} and has uncommitted changes: nothing can ship to it before they are committed"
            yield Remark("target", text, f"git -C {quote(str(checkout))} status")


def _submodules(repo: Repo, commit: str) -> Iterator[Remark]:
    tree = repo.tree_of(commit)
    paths = [entry.path for entry in repo.entries(tree) if entry.kind == "commit"]
    here = {path for _, path, _, _ in known_submodules(repo, tree)}
    if paths:
        yield Remark("submodules", "the repository has submodules: a run must not change them")
    if absent := [path for path in paths if path not in here]:
        text = f"submodules without their commit here stay empty in workspaces: {', '.join(absent)}"
        yield Remark("submodules", text, "git submodule update --init")


def _fetching(repo: Repo) -> Iterator[Remark]:
    """Settings by which the user's next fetch removes what a run has made, because no remote knows of it."""
    said = repo.user.call("config", "--null", "--get-regexp", FETCHING, ok=(0, 1))
    for name, value in (entry.partition("\n")[::2] for entry in fields(said)):
        key, remote = name.rpartition(".")[2].lower(), name.removeprefix("remote.").rpartition(".")[0]
        into = value.partition(":")[2]
        if key == "fetch" and holds_runs(into):
            text = f"a fetch from {remote} that prunes removes what a run makes: it maps its refs to {into}"
            better = f"git config remote.{quote(remote)}.fetch '{usual_fetch(remote)}'"
            yield Remark("refs", text, better)
        elif key == "prunetags" and is_true(value):
            text = f"{name} is set: a fetch removes the tag of a run, and each that the remote does not have"
            yield Remark("refs", text, f"git config --unset {quote(name)}")
