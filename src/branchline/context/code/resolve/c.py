"""C, C++ and Objective-C: includes, and the source file that belongs to a header."""

import re
from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import Places, folder_of, joined

_HEADERS = (".h", ".hh", ".hpp", ".hxx")
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".m", ".mm")
_STANDARD = re.compile(
    "(assert|complex|ctype|errno|fcntl|fenv|float|inttypes|limits|locale|malloc|math|poll|pthread|pwd|sched|setjmp|signal"
    "|std[a-z]+|strings?|syslog|termios|tgmath|threads|time|uchar|unistd|wchar|wctype|windows)[.]h"
)


class C:
    """Headers and sources of a tree."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._sources: dict[str, list[int]] = {}
        for file, path in enumerate(places.paths):
            bare, dot, ending = path.rpartition(".")
            if dot + ending in _SOURCES:
                self._sources.setdefault(bare.rpartition("/")[2], []).append(file)

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        path = self._places.paths[file]
        for one in imports:
            found = self._included(path, one.module, quoted=one.kind == "quoted")
            if found is not None:
                yield found
        bare, dot, ending = path.rpartition(".")
        if dot + ending in _HEADERS:
            siblings = self._sources.get(bare.rpartition("/")[2], [])
            near = [other for other in siblings if folder_of(self._places.paths[other]) == folder_of(path)]
            yield from near or siblings[: len(siblings) == 1]

    def _included(self, origin: str, name: str, *, quoted: bool) -> int | None:
        if quoted:
            beside = joined(folder_of(origin), name)
            if beside in self._places.number:
                return self._places.number[beside]
        elif _STANDARD.fullmatch(name):
            return None
        suffix = joined("", name.lstrip("./"))
        found = self._places.ending(suffix) or self._places.ending(f"{suffix}.in") if suffix else []
        return self._places.nearest(found, origin) if quoted else found[0] if len(found) == 1 else None
