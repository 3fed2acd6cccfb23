"""Which paths are protected, by whatever name a file system or a link lets one reach them.

A file is protected if a glob matches it. So is a link in the place of a folder that a glob names (one called `.github`
decides what `.github/workflows` holds), and what a protected name leads to through links of the tree.
"""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from branchline.core.rules.globs import fold, matches
from branchline.core.rules.linear import compiled

MOST_NAMES = 40  # as many links as a kernel follows
# What macOS ignores in a name, so that `.git<joiner>hub` opens `.github`.
IGNORED = compiled("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


class Protection:
    """Globs, and the links of the trees in question as pairs: the link's path, what it says."""

    def __init__(self, globs: Sequence[str], links: Iterable[tuple[str, str]] = ()) -> None:
        self._globs = tuple(dict.fromkeys(form for glob in globs for form in (_plain(glob), glob)))
        self._folders = tuple(dict.fromkeys(folder for glob in self._globs for folder in _folders(glob)))
        self._links: dict[tuple[str, str], None] = {}
        for link, said in links:
            target = _plain(posixpath.normpath(posixpath.join(posixpath.dirname(link), said)))
            # One that leaves the tree, or leads to all of it, names nothing in it.
            if target not in {"", "."} and not target.startswith(("/", "..")):
                self._links[_plain(link), target] = None

    def name_of(self, path: str, *, link: bool = False) -> str:
        """The name under which a path is protected; empty if it is not. `link`: it is, or was, one or a submodule."""
        globs = (*self._globs, *self._folders) if link else self._globs
        return next((name for name in self._names(path) if any(matches(glob, name) for glob in globs)), "")

    def _names(self, path: str) -> Iterator[str]:
        """The path's own names, then those that links of the tree give it."""
        names = dict.fromkeys((path, _plain(path)))
        todo = list(names)
        for name in todo:
            yield name
            more = [link + name[len(at) :] for link, at in self._links if f"{name}/".startswith(f"{at}/")]
            todo += [one for one in more if one not in names and len(names) < MOST_NAMES]
            names |= dict.fromkeys(more)


protection = lru_cache(maxsize=64)(Protection)
"""A `Protection`, made once for the same globs and links."""


_RESERVED = {
    **dict.fromkeys((".git", "git~1"), "git's own folder"),
    **dict.fromkeys((".runs", "runs~1"), "the folder of runs"),
}


def reserved(path: str) -> str:
    """What of git's or ours a path leads into, as the most forgiving file system reads it; or nothing."""
    return next((_RESERVED[name] for name in _plain(path).split("/") if name in _RESERVED), "")


def _plain(path: str) -> str:
    """A path as the most forgiving file system reads it: no case, no width, no endings that Windows drops."""
    parts = fold(IGNORED.sub("", path)).replace("\\", "/").split("/")
    return "/".join(part.partition(":")[0].rstrip(" .") or part for part in parts)


def _folders(glob: str) -> Iterator[str]:
    """The folders on the way to what a glob matches, but for `**`, which may be any."""
    parts = glob.rstrip("/").split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)) if parts[length - 1] != "**")
