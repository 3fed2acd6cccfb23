"""Names that are one name to some file systems: those that ignore case, or Unicode's ways to write a letter."""

import unicodedata
from collections.abc import Iterable


def collisions(there: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """Each new path that would share a place with another one, folders included; with that other path.

    Paths that collide since before are nobody's fault.
    """
    places: dict[str, str] = {}
    for path in there:
        for part in _upwards(path):
            folded = _folded(part)
            if places.get(folded) == part:
                break  # what is above it has been seen
            places.setdefault(folded, part)
    found = {}
    for path in new:
        for part in _upwards(path):
            other = places.setdefault(_folded(part), part)
            if other != part:
                found[path] = other
    return found


def _upwards(path: str) -> Iterable[str]:
    yield path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
