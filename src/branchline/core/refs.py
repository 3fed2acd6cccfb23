"""Every name of a ref: what a run calls its own refs, branches and tag, and what may stand in their way.

A run's own refs lie below `refs/branchline/<run id>/`, where no clone and no push takes them along unasked. The branches
that people see are `feature/<workstream>-<run id>` and `integration/<run id>`; the tag's name is a setting.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Literal

from branchline.core.model.plan import Plan

HEADS = "refs/heads/"
TAGS = "refs/tags/"
RUNS = "refs/branchline/"
DEFAULT_TAG = "release/{run_id}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a run from ending as it should: a sentence, and the command that clears it away (empty: none does).

    One that is not `fatal` is only worth a word.
    """

    text: str
    command: str = ""
    fatal: bool = True


def branch_ref(name: str) -> str:
    """`refs/heads/main` of `main`."""
    return HEADS + name


def tag_ref(name: str) -> str:
    """`refs/tags/v1` of `v1`."""
    return TAGS + name


def remote_ref(name: str) -> str:
    """`refs/remotes/origin/main` of `main`: what a clone knows of the branch elsewhere."""
    return f"refs/remotes/origin/{name}"


def holds_runs(pattern: str) -> bool:
    """Whether a fetch that prunes below this pattern (git-fetch(1), `<refspec>`) removes what runs have made."""
    return pattern in {"refs/*", f"{HEADS}*", f"{TAGS}*"}


def usual_fetch(remote: str) -> str:
    """The refspec that `git clone` writes down: it touches nothing but `refs/remotes/<remote>/`."""
    return f"+{HEADS}*:refs/remotes/{remote}/*"


def _full(kind: str) -> Callable[["Refs", str], str]:
    return lambda refs, name: f"{refs.folder}{kind}/{name}"


@dataclass(frozen=True, slots=True)
class Refs:
    """The names of one run. What returns a full name says so; a branch or a tag is named as people name it.

    >>> Refs("R").saved("api"), branch_ref(Refs("R").feature("api"))
    ('refs/branchline/R/saved/api', 'refs/heads/feature/api-R')
    """

    run_id: str

    base = _full("base")  # the commit that a workstream starts from
    gate = _full("gate")  # a batch as the gates judged it
    sealed = _full("sealed")  # the tree that a task's fixers made, while it is judged
    conflict = _full("conflict")  # a merge in conflict, with which a workstream's repair begins
    saved = _full("saved")  # everything that was in a workstream's worktree; what is saved later adds `-2`, `-3`, ...

    @property
    def folder(self) -> str:
        """What the full name of each of the run's own refs begins with."""
        return f"{RUNS}{self.run_id}/"

    def short(self, ref: str) -> str:
        """A full name without `folder`: `saved/api`; any other ref is left as it is."""
        return ref.removeprefix(self.folder)

    @property
    def integration(self) -> str:
        """The branch that holds the merge result."""
        return f"integration/{self.run_id}"

    def feature(self, workstream: str) -> str:
        """The branch that holds a workstream's approved batches."""
        return f"feature/{workstream}-{self.run_id}"

    def tag(self, template: str, number: int = 1) -> str:
        """The tag that a template means, empty for none. A run that ships again numbers its tags: no tag moves."""
        name = template.replace("{run_id}", self.run_id)
        return f"{name}-{number}" if name and number > 1 else name

    @property
    def head(self) -> str:
        """Full name: the ledger's high-water mark."""
        return f"{self.folder}head"

    @property
    def landing(self) -> str:
        """Full name: a commit whose parents are where the target moves to and where it was; it stands before that."""
        return f"{self.folder}landing"

    @property
    def rollback(self) -> str:
        """Full name: the commit that undoes what the run shipped."""
        return f"{self.folder}rollback"

    def attempt(self, task_id: str, number: int) -> str:
        """Full name: what one attempt left, also if it failed."""
        return f"{self.folder}attempts/{task_id}/{number}"

    def commits(self, task_id: str, number: int) -> str:
        """Full name: the commits that an agent made itself in one attempt."""
        return f"{self.attempt(task_id, number)}-commits"

    def lost(self, task_id: str, number: int, which: int) -> str:
        """Full name: what was there of an attempt when its coordinator died, `which` time."""
        return f"{self.attempt(task_id, number)}-lost-{which}"

    def checkpoint(self, name: str, workstream: str = "") -> str:
        """Full name: a checkpoint of the run, or of one workstream."""
        return f"{self.folder}checkpoint/{name}" + (f"/{workstream}" if workstream else "")

    def moved(self, ref: str) -> str:
        """Full name: what another ref held before it was put back."""
        return f"{self.folder}moved/{self.short(ref).removeprefix('refs/')}"


def owns(run_id: str, ref: str) -> bool:
    """Whether a full name is of a ref that only this run writes; empty `run_id`: none is."""
    refs = Refs(run_id)
    branch = ref.removeprefix(HEADS)
    own = branch == refs.integration or (branch.startswith("feature/") and branch.endswith(f"-{run_id}"))
    return bool(run_id) and (ref.startswith(refs.folder) or (ref.startswith(HEADS) and own))


def needed(run_id: str, plan: Plan | None, ship: Literal["branch", "merge"], tag: str) -> tuple[str, ...]:
    """The full name of every ref that a run makes outside its own folder, and the folder; `tag` is the template.

    Without a plan the workstreams are not known yet: `*` stands for them, which is no ref's name.
    """
    refs = Refs(run_id)
    branches = [refs.integration, *(refs.feature(name) for name in (plan.ids if plan else ("*",)))]
    tags = [name] if ship == "merge" and (name := refs.tag(tag)) else []
    return (refs.head, *map(branch_ref, branches), *map(tag_ref, tags))


def in_the_way(wanted: Iterable[str], existing: Collection[str], *, ignore_case: bool = False) -> list[Obstacle]:
    """What keeps git from making refs: one of that name, one above it, or one below it; the first reason of each.

    Git keeps a ref as a file, so `feature` and `feature/a` exclude each other (git-check-ref-format(1), rule 1).
    `ignore_case`: the file system does not tell `Feature` from `feature` (`core.ignorecase`). A run's own folder may be
    there already.
    """
    fold = str.casefold if ignore_case else str
    there = {fold(ref): ref for ref in existing}
    inside: dict[str, dict[str, str]] = {}
    for ref in existing:
        for folder in _above(ref):
            inside.setdefault(fold(folder), {})[folder] = ref
    found: dict[str, str] = {}
    for name in wanted:
        for ref in [there[fold(name)]] if fold(name) in there and not name.startswith(RUNS) else ():
            found.setdefault(ref, f"{_words(ref)} exists already")
        for ref in [there[fold(folder)] for folder in _above(name) if fold(folder) in there]:
            found.setdefault(ref, f"{_words(ref)} is in the way: git cannot make {_words(name)} beside it")
        for ref in inside.get(fold(name), {}).values():
            found.setdefault(ref, f"{_words(ref)} is in the way: git cannot make {_words(name)} above it")
        for folder in _above(name):
            for other, ref in inside.get(fold(folder), {}).items():
                if other != folder:
                    why = f"its folder and that of {_words(name)} differ only by case"
                    found.setdefault(ref, f"{_words(ref)} is in the way: {why}")
    return [Obstacle(*_cleared(ref, existing, text)) for ref, text in found.items()]


def _cleared(ref: str, existing: Collection[str], text: str) -> tuple[str, str]:
    """The sentence, and the command that gives the ref another name."""
    kind = next((kind for kind in (HEADS, TAGS) if ref.startswith(kind)), "")
    old = ref.removeprefix(kind)
    names = (f"{old.replace('/', '-')}-old" + (f"-{number}" if number else "") for number in count())
    free = next(name for name in names if kind + name not in existing)
    if kind == HEADS:
        return text, f"git branch -m {old} {free}"
    if kind == TAGS:
        return f"{text}; ship.tag can name another", f"git tag {free} {old} && git tag -d {old}"
    return text, f"git update-ref -d {ref}"


def _above(ref: str) -> list[str]:
    """The folders that a ref is in, the innermost first, but for `refs`, `refs/heads` and their like."""
    parts, least = ref.split("/"), 2 if ref.startswith(RUNS) else 3
    return ["/".join(parts[:depth]) for depth in range(len(parts) - 1, least - 1, -1)]


def _words(ref: str) -> str:
    """A ref as people call it: `the branch feature`."""
    for kind, noun in ((HEADS, "the branch"), (TAGS, "the tag")):
        if ref.startswith(kind):
            return f"{noun} {ref.removeprefix(kind)}"
    return f"the ref {ref}"
