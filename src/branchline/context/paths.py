"""What the paths of a tree say, worked out once a tree: what each file is for, and which words its path has."""

import os
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from branchline.context.code.languages import category_of, language_of, vendored
from branchline.context.code.words import WORD, terms_of
from branchline.core.model.manifest import Category

VERSION = "1"
_CATEGORIES: tuple[Category, ...] = ("code", "tests", "docs", "other")


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """`kinds`: a byte a file, its place in _CATEGORIES; `vendored`: numbers of files; `terms`: to numbers of files."""

    kinds: bytes
    vendored: frozenset[int]
    terms: dict[str, msgspec.Raw]


class Paths:
    """The paths of a tree; files are numbers, their places among them."""

    def __init__(self, packed: _Packed) -> None:
        """Use `of` or `from_bytes`. `vendored`: the files that were brought in from elsewhere or built."""
        self.categories: Sequence[Category] = [_CATEGORIES[kind] for kind in packed.kinds]
        self.vendored = packed.vendored
        self._packed = packed

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
        return cls(_Packed(kinds, others, {term: msgspec.Raw(encode(files)) for term, files in terms.items()}))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Paths":
        """What `to_bytes` made."""
        return cls(_decoder.decode(data))

    def to_bytes(self) -> bytes:
        """All of it."""
        return msgspec.msgpack.encode(self._packed)

    def holding(self, term: str) -> list[int]:
        """The code files with a term in their path, without the ending of its name; sorted."""
        return _numbers.decode(self._packed.terms[term]) if term in self._packed.terms else []


def terms_in(path: str) -> frozenset[str]:
    """The index terms of a path, without the ending of its name."""
    return frozenset(term for word in WORD.findall(os.path.splitext(path)[0]) for term in terms_of(word))


_decoder = msgspec.msgpack.Decoder(_Packed)
_numbers = msgspec.msgpack.Decoder(list[int])
