"""The context broker: which files an agent should read for a task, under a budget, and why."""

import os
import sqlite3
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from weakref import finalize

from msgspec.structs import replace as replace_fields

from branchline.context.code.analysis import ANALYSIS_VERSION, Analysis
from branchline.context.excerpts import forms
from branchline.context.graph import GRAPH_VERSION, ImportGraph
from branchline.context.index.cache import Analyse, Index, Progress
from branchline.context.index.database import default_folder
from branchline.context.index.history import history_of
from branchline.context.index.indexed import IndexedCorpus
from branchline.context.index.scan import Tree, tree_of, work_tree
from branchline.context.manifest import assembled, fingerprint
from branchline.context.query import parse
from branchline.context.rank import RANKING_VERSION, Anchors, Ranked, matches, rank
from branchline.context.selection import Selection, ban_of, select
from branchline.context.tokens import Counter, counter
from branchline.core.model.manifest import (
    Candidate,
    Category,
    ContextRequest,
    ContextSettings,
    ExcludedFile,
    Explanation,
    Manifest,
    Span,
)
from branchline.core.rules.globs import matches as matches_glob
from branchline.core.rules.globs import matches_any
from branchline.errors import InvalidInput
from branchline.git.repo import Repo

DEFAULT = ContextSettings()
SPANS = 12  # best pieces of a file that an excerpt may show
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _surely(answer: "Callable[Concatenate[Broker, _P], _T]") -> "Callable[Concatenate[Broker, _P], _T]":
    """Answer again, on a new index, if the index turned out to be damaged or another process has emptied it."""

    @wraps(answer)
    def answered(self: "Broker", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        while True:
            try:
                found = answer(self, *args, **kwargs)
                self._index.confirm()
            except sqlite3.DatabaseError as error:
                self._index.replace(error)
                self.__dict__.pop("corpus", None)  # it is what the index said
            else:
                return found

    return answered


class Broker:
    """Answers questions about one tree. Made by `of_folder` or `of_tree`; `warnings` says what went less than well."""

    def __init__(self, tree: Tree, index: Index, analysed: Analyse, on_progress: Progress | None = None) -> None:
        """Look at nothing yet. `analysed`: how a file is analysed.

        What may hold secrets is not even indexed: an index outlives the file.
        """
        secrets = {file.path: "secret" for file in tree.files if ban_of(file.path) == "secret"}
        self.tree = replace(
            tree,
            files=tuple(file for file in tree.files if file.path not in secrets),
            skipped=(*tree.skipped, *secrets.items()),
        )
        self.analysed = 0
        self._index, self._analyse, self._on_progress = index, analysed, on_progress
        finalize(self, index.close)
        self._files = {file.path: file for file in self.tree.files}
        self._texts: dict[str, str | None] = {}

    @_surely
    def manifest(self, request: ContextRequest) -> Manifest:
        """Choose the files. Raises InvalidInput for a target that is not in the tree."""
        made = assembled(
            request,
            self._selected(request, self._ranked(request)),
            tree=self.tree.fingerprint,
            generated_at=datetime.fromtimestamp(self.tree.time, UTC).isoformat() if self.tree.commit else "",
            tokens_by=counter(request.settings.exact_tokens).name,
            config=fingerprint(request.settings, ANALYSIS_VERSION, RANKING_VERSION),
        )
        idle = [glob for glob in request.settings.pin if not any(matches_glob(glob, path) for path in self._files)]
        return replace_fields(made, warnings=(*made.warnings, *(f"no file matches the pin {glob}" for glob in idle)))

    @_surely
    def explain(self, request: ContextRequest, path: str) -> Explanation:
        """Say why a file is in the manifest of a request, or out of it. Raises InvalidInput if the tree has it not."""
        self._known([path], "file")
        ranked = self._ranked(request)
        selection = self._selected(request, ranked)
        ranks = {self.corpus.paths[one.file]: (place, one) for place, one in enumerate(ranked, 1)}
        place, found = ranks.get(path, (0, Ranked(-1, 0.0, {}, ())))
        shown = next((file for file in (*selection.files, *selection.tests) if file.path == path), None)
        out = next((file for file in selection.excluded if file.path == path), None)
        return Explanation(
            path=path,
            included=shown is not None,
            reason=shown.included_as if shown else out.reason if out else "no_match",
            detail=out.detail if out else "",
            rank=place,
            ranked=len(ranked),
            score=found.score,
            breakdown=found.breakdown,
            matches=matches(parse(request.text, request.keywords), self.corpus, found) if place else {},
            mode=shown.mode if shown else "",
            tokens=shown.tokens if shown else 0,
            spans=shown.spans if shown else (),
        )

    @_surely
    def search(self, text: str, *, limit: int = 20) -> tuple[Candidate, ...]:
        """The files that fit a text best, best first, each with its most fitting form and what gave it points."""
        request = ContextRequest(text=text)
        count = counter(exact=False)
        ranked = self._ranked(request)[:limit]
        self.texts(self.corpus.paths[one.file] for one in ranked)
        return tuple(self._candidate(one, count) for one in ranked)

    def read(self, path: str) -> str | None:
        """The text of a file of the tree; None if it cannot be read."""
        return self.texts([path]).get(path)

    def texts(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The texts of files of the tree, read in one go; None for one that cannot be read."""
        wanted = [self._files[path] for path in paths if path not in self._texts and path in self._files]
        for file, data in self.tree.read(wanted):
            self._texts[file.path] = None if data is None else data.decode("utf-8", "replace")
        return self._texts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be done as it should."""
        return tuple(self._index.warnings)

    @cached_property
    def corpus(self) -> IndexedCorpus:
        """The tree as ranking sees it; what is not in the index yet is analysed now."""
        self.analysed = self._index.add(self.tree, self._analyse, self._on_progress)
        corpus = IndexedCorpus(self._index, self.tree)
        # The import graph is kept by the tree's fingerprint.
        key = f"graph/{GRAPH_VERSION}/{ANALYSIS_VERSION}/{self.tree.fingerprint}/{len(corpus.paths)}"
        if packed := self._index.get(key):
            corpus.graph = ImportGraph.from_bytes(packed)
        else:
            from branchline.context.code.resolve import resolve, wanted_configs  # a warm query does without

            configs = [self._files[path] for path in wanted_configs(corpus.paths)]
            texts = {file.path: data for file, data in self.tree.read(configs) if data is not None}
            corpus.graph = ImportGraph.of(resolve(corpus.paths, corpus.outlines(), texts))
            self._index.put(key, corpus.graph.to_bytes())
        corpus.read = self.texts
        if (repo := self.tree.repo) is not None:
            below = os.path.relpath(self.tree.root, repo.root)
            prefix = "" if below == "." else f"{below}/"
            corpus.history = history_of(repo, self.tree.commit, corpus.paths, self._index, prefix)
        return corpus

    def _ranked(self, request: ContextRequest) -> list[Ranked]:
        self._known(request.targets, "target")
        paths = self.corpus.paths
        targets = frozenset(file for file, path in enumerate(paths) if path in set(request.targets))
        scope = frozenset(file for file, path in enumerate(paths) if request.scope and matches_any(request.scope, path))
        anchors = Anchors(targets, scope, related=request.settings.include_dependencies)
        return rank(parse(request.text, request.keywords), self.corpus, anchors)

    def _known(self, paths: Iterable[str], what: str) -> None:
        skipped = dict(self.tree.skipped)
        for path in paths:
            if path not in self._files and path not in skipped:
                from difflib import get_close_matches

                near = get_close_matches(path, self._files, 1)
                hint = f"did you mean {near[0]}?" if near else "give its path from the root, with / between folders"
                raise InvalidInput(f"{what} {path!r} is not among the files of {self.tree.root}", hint=hint)

    def _selected(self, request: ContextRequest, ranked: Sequence[Ranked]) -> Selection:
        """What of the ranked files fits. Only files that have a chance are looked at; the others are left out unseen."""
        settings, paths, count = request.settings, self.corpus.paths, counter(request.settings.exact_tokens)
        chosen = {one.file: one for one in _likely(ranked, self.corpus.about_paths.categories, settings)}
        always = [path for path in paths if path in request.targets or matches_any(settings.pin, path)]
        numbers = {path: file for file, path in enumerate(paths)}
        ranks = {one.file: one for one in ranked}
        chosen |= {file: ranks.get(file, Ranked(file, 0.0, {}, ())) for file in map(numbers.__getitem__, always)}
        self.texts(paths[file] for file in chosen)
        unseen = [
            ExcludedFile(path=paths[one.file], reason="max_files", score=one.score)
            for one in ranked
            if one.file not in chosen
        ]
        unread = [
            ExcludedFile(path=path, reason=why) for path, why in (*self.tree.skipped, *self.corpus.left_out.items())
        ]
        candidates = [self._candidate(one, count) for one in chosen.values()]
        return select(request, candidates, [*unseen, *unread], budget=int(request.budget * (1 - count.margin)))

    def _candidate(self, one: Ranked, count: Counter) -> Candidate:
        """A ranked file with the forms it can be shown in."""
        path, analysis = self.corpus.paths[one.file], self.corpus.analysis(one.file)
        text, heads = self.read(path), self.corpus.pieces(one.file).heads
        spans = [
            (points, Span(start=heads[place].start, end=heads[place].end, name=heads[place].name))
            for points, place in one.pieces[:SPANS]
        ]
        return Candidate(
            path=path,
            category=self.corpus.about_paths.categories[one.file],
            score=one.score,
            breakdown=one.breakdown,
            size_bytes=analysis.size,
            sha256=analysis.sha256,
            forms=forms(text or "", analysis, spans, count.count),
            flag=one.flag,
        )


def _likely(ranked: Iterable[Ranked], categories: Sequence[Category], settings: ContextSettings) -> Iterator[Ranked]:
    """The files that a manifest may hold: of each category as many of the best as there may be, and one more."""
    taken, most = Counts[str](), settings.max_files
    for one in ranked:
        category = categories[one.file]
        cap = getattr(settings.caps, category)
        if taken[category] <= (most if cap is None else min(cap, most)):
            taken[category] += 1
            yield one


def of_folder(
    root: Path,
    *,
    settings: ContextSettings = DEFAULT,
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> Broker:
    """A broker for the files below a folder as they are on disk, in a repository or not.

    `settings` say how long the pieces of a text are; `cache`: the folder of the index.
    """
    tree = work_tree(root)
    return _made(tree, cache or default_folder(root, tree.repo), settings, on_progress)


def of_tree(
    repo: Repo, commit: str, tree: str | None = None, *, settings: ContextSettings = DEFAULT, cache: Path | None = None
) -> Broker:
    """A broker for a tree in the object store; `commit` is what it grew from, and whose tree it is if none is given."""
    return _made(tree_of(repo, commit, tree), cache or default_folder(repo.root, repo), settings)


def _made(tree: Tree, folder: Path, settings: ContextSettings, on_progress: Progress | None = None) -> Broker:
    def analysed(data: bytes, name: str) -> Analysis:
        from branchline.context.code.analyse import analyse  # a warm query analyses nothing

        return analyse(data, name, chunk_tokens=settings.chunk_tokens, overlap=settings.chunk_overlap)

    index = Index(folder, version=f"{ANALYSIS_VERSION}/{settings.chunk_tokens}/{settings.chunk_overlap}")
    return Broker(tree, index, analysed, on_progress)
