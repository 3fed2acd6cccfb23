"""A twin of git, as far as a run needs it: trees of names and words, commits, refs, three-way merges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from simulated.fate import Fate, require

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit; `above` are all its ancestors, itself included."""

    tree: str
    parents: tuple[str, ...]
    above: frozenset[str]


@dataclass(slots=True)
class Twin:
    """Objects are named by what they hold, so the same content has the same id whenever it is made."""

    fate: Fate
    trees: dict[str, Files] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    _ids: dict[object, str] = field(default_factory=dict)

    def tree(self, files: Files) -> str:
        """Store a tree."""
        oid = self._id("t", frozenset(files.items()))
        self.trees[oid] = files
        return oid

    def commit(self, tree: str, parents: Iterable[str], message: str = "") -> str:
        """Store a commit; an object that nothing names is no effect."""
        ancestors = tuple(parents)
        oid = self._id("c", (tree, ancestors, message))
        above = frozenset({oid}).union(*(self.commits[parent].above for parent in ancestors))
        self.commits[oid] = Commit(tree, ancestors, above)
        return oid

    def _id(self, kind: str, content: object) -> str:
        key = kind, content
        return self._ids.setdefault(key, f"{kind}{len(self._ids)}")

    def put_ref(self, name: str, commit: str) -> None:
        """Point a ref of the run's own somewhere."""
        self.fate.effect()
        self.refs[name] = commit

    def keep_ref(self, name: str, commit: str) -> None:
        """Like `put_ref`, but what was there stays under another name."""
        old = self.refs.get(name)
        if old not in {None, commit}:
            assert old is not None
            self.put_ref(f"{name}-kept-{old}", old)
        self.put_ref(name, commit)

    def tree_of(self, commit: str) -> str:
        """The tree of a commit."""
        return self.commits[commit].tree

    def swap_ref(self, name: str, new: str, old: str) -> bool:
        """Compare-and-swap; a branch of the user's only ever moves forward."""
        self.fate.effect()
        if self.refs[name] != old:
            return False
        require(self.is_ancestor(old, new), f"{name} was moved back, from {old} to {new}")
        self.refs[name] = new
        return True

    def files(self, commit: str) -> Files:
        """The files of a commit."""
        return self.trees[self.commits[commit].tree]

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` holds `old`."""
        return old in self.commits[new].above

    def merge(self, ours: str, theirs: str, message: str) -> tuple[str, tuple[str, ...]]:
        """The merge commit, or the tree with marks and the paths in conflict."""
        if self.is_ancestor(theirs, ours):
            return ours, ()
        common = self.commits[ours].above & self.commits[theirs].above
        base = self.files(max(common, key=lambda oid: len(self.commits[oid].above)))
        mine, others = self.files(ours), self.files(theirs)
        merged, clash = dict(mine), []
        for path in sorted({*base, *mine, *others}):
            was, left, right = base.get(path), mine.get(path), others.get(path)
            if right in (was, left):
                continue
            if left != was:
                clash.append(path)
                right = f"<<<{left}|{right}>>>"
            if right is None:
                del merged[path]
            else:
                merged[path] = right
        tree = self.tree(merged)
        return (tree, tuple(clash)) if clash else (self.commit(tree, (ours, theirs), message), ())
