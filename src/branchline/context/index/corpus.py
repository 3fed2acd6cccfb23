"""What ranking sees of a tree of files: a narrow view of the index. Files are numbers, positions in `paths`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from branchline.context.code.analysis import Analysis, StoredPieces
from branchline.context.paths import Paths


class Corpus(Protocol):
    """One tree. Implementations answer from the index and read only what is asked for."""

    @property
    def paths(self) -> Sequence[str]:
        """Every text file of the tree, sorted; a file's number is its place here."""

    @property
    def lengths(self) -> Sequence[int]:
        """Terms in each file."""

    @property
    def about_paths(self) -> Paths:
        """What the paths say."""

    def postings(self, term: str) -> Mapping[int, int]:
        """The files that hold an index term (see `words.terms_of`), each with how often."""

    def defining(self, names: Iterable[str]) -> Mapping[str, Sequence[int]]:
        """The files that define exactly each of these names, sorted; names that none defines are left out."""

    def naming(self, term: str) -> Sequence[int]:
        """The files that define a name with this index term in it, sorted."""

    def analysis(self, file: int) -> Analysis:
        """What is known of a file, but for its chunks."""

    def pieces(self, file: int) -> StoredPieces:
        """The chunks of a file."""

    def texts(self, files: Sequence[int]) -> Mapping[int, str]:
        """The texts of files; empty for one that cannot be read."""

    def imports(self, file: int) -> Sequence[int]:
        """The files that a file imports, sorted."""

    def importers(self, file: int) -> Sequence[int]:
        """The files that import a file, sorted."""

    @property
    def churn(self) -> Sequence[float]:
        """How often each file changed, a change of a year before HEAD counting half; zeros without a history."""

    def changed_with(self, file: int) -> Mapping[int, float]:
        """The files that changed in the same commits, each with the sum of 1/(files of the commit - 1), aged alike."""
