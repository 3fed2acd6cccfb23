"""What an agent's own git left in the repository: no secret stays there, and no object that is not what it says."""

import re
from collections.abc import Iterable, Sequence

from branchline.attempt.guarding import MOVED
from branchline.attempt.run import Run
from branchline.attempt.secret_scan import Screening, longest_line
from branchline.core.result import Failure, StepFailed
from branchline.git.intake import standing_in
from branchline.git.strays import Stray, held_by_others, loose_since, read_strays, take_out, those_leading_to

OBJECTS = "objects"
NAMED = 3


def without_secrets(run: Run, workstream: str, head: str) -> list[str]:
    """Take objects with secrets, new since the run began, out of the repository; what this agent made, in words.

    They move to the run's `kept` folder, the worktree is led back to the commit `head`. Those that something of the
    user's leads to stay. Raises StepFailed if an object has been changed.
    """
    screening = run.inspect
    if screening is None or not run.paths.lock.exists():
        return []
    with screening.turn:
        return _looked_through(run, screening, workstream, head)


def _looked_through(run: Run, screening: Screening, workstream: str, head: str) -> list[str]:
    path = run.worktree(workstream)
    new = loose_since(run.repo, run.paths.lock.stat().st_mtime_ns)
    strays = list(read_strays(run.repo, [oid for oid, at in new.items() if (oid, at) not in screening.seen]))
    if damaged := [one.oid for one in strays if not one.genuine]:
        reason = f"object {damaged[0]} of the repository is not what its name says: somebody changed it"
        raise StepFailed(Failure(reason, "tampering", retryable=False, hint="git fsck"))
    found = _with_secrets(run, screening, strays, head)
    leading = those_leading_to(strays, {*found, *screening.gone}) - screening.gone
    screening.seen.update((one.oid, new[one.oid]) for one in strays if one.oid not in leading)
    if not leading:
        return []
    mine = run.worktrees.objects(path, head)
    moved = run.ref(MOVED)
    ours = re.compile(rf"refs/heads/{re.escape(run.branch(workstream))}$|{re.escape(moved)}")
    tainted = leading - held_by_others(run.repo, head, ours) - _of_other_agents(run, workstream, head)
    run.worktrees.forget(path, tainted, head)
    for ref, oid in run.repo.list_refs(moved).items():
        if oid in tainted:
            run.repo.move_ref(ref, None, oid)
    taken = take_out(run.repo, sorted(tainted), run.paths.keep() / OBJECTS)
    screening.gone.update(taken)
    return _words({oid: found[oid] for oid in sorted(set(found) & mine)}, taken)


def _of_other_agents(run: Run, workstream: str, head: str) -> set[str]:
    """What the worktrees of the others lead to: it is looked at when they end."""
    places = [run.worktree(name) for name in run.plan.ids if name != workstream]
    return {oid for place in places if run.worktrees.knows(place) for oid in run.worktrees.objects(place, head)}


def _with_secrets(run: Run, screening: Screening, strays: Iterable[Stray], base: str) -> dict[str, str]:
    """By object, what it holds that the base does not hold already."""
    held = {one.oid: (one.kind, secrets) for one in strays if (secrets := screening.secrets_of(one.data))}
    lines = {longest_line(secret.value) for _, secrets in held.values() for secret in secrets}
    known = standing_in(run.repo.content, run.repo.tree_of(base), lines)
    found = {}
    for oid, (kind, secrets) in held.items():
        if new := [one for one in secrets if longest_line(one.value) not in known]:
            found[oid] = f"git {kind} {oid[:12]}: a secret: {new[0].kind}"
    return found


def _words(found: dict[str, str], taken: Sequence[str]) -> list[str]:
    names = list(found.values())
    more = [f"{len(names) - NAMED} more objects of git with secrets"] if len(names) > NAMED else []
    left = len(set(found) - set(taken))
    stays = [f"{left} of these objects stay: a ref or a checkout that is not the run's holds them"] if left else []
    return names[:NAMED] + more + stays
