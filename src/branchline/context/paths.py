"""What the paths of a tree say, worked out once a tree: what each file is for, and which words its path has."""

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import msgspec

from branchline.context.code.languages import category_of, language_of, vendored
from branchline.context.code.words import WORD, terms_of
from branchline.core.model.manifest import Category

VERSION = "1"
_CATEGORIES: tuple[Category, ...] = ("code", "tests", "docs", "other")


class Paths(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """The paths of a tree; files are numbers, their places among them.

    `kinds`: a byte a file, its place in _CATEGORIES; `vendored`: the files that were brought in from elsewhere or built;
    `terms`: of the code files, those with a term in their path, sorted.
    """

    kinds: bytes
    vendored: frozenset[int]
    terms: dict[str, msgspec.Raw]

    @classmethod
    def of(cls, paths: Sequence[str]) -> "Paths":
        """Look at paths."""
        kinds = bytes(_CATEGORIES.index(category_of(path, language_of(path))) for path in paths)
        terms = defaultdict[str, list[int]](list)
        for file, path in enumerate(paths):
            if kinds[file] == 0:
                for term in terms_in(path):
                    terms[term].append(file)
        encode = msgspec.msgpack.encode
        others = frozenset(file for file, path in enumerate(paths) if vendored(path))
        return cls(kinds, others, {term: msgspec.Raw(encode(files)) for term, files in terms.items()})

    @cached_property
    def categories(self) -> Sequence[Category]:
        """What each file is for."""
        return [_CATEGORIES[kind] for kind in self.kinds]

    def holding(self, term: str) -> list[int]:
        """The code files with a term in their path, without the ending of its name; sorted."""
        return _numbers.decode(self.terms[term]) if term in self.terms else []


def terms_in(path: str) -> frozenset[str]:
    """The index terms of a path, without the ending of its name."""
    return frozenset(term for word in WORD.findall(os.path.splitext(path)[0]) for term in terms_of(word))


_numbers = msgspec.msgpack.Decoder(list[int])
