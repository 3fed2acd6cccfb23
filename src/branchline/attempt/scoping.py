"""What a plan's workstreams will probably touch: scopes that were left open, and collisions, from manifests of its base."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from branchline.attempt.context_requests import NAMED, edit_request
from branchline.attempt.conventions import regular
from branchline.attempt.manifest import asking
from branchline.config.settings import Settings
from branchline.core.model.forecast import Collision, Work, forecast
from branchline.core.model.manifest import ContextRequest, Manifest
from branchline.core.model.plan import Plan, Workstream
from branchline.core.planning import at_once, scopeless, with_scopes
from branchline.core.rules.globs import matches_any, matches_folded
from branchline.errors import InvalidInput
from branchline.git.repo import Repo

MOST_CODE = 8  # files of a scope that is made
MOST_TESTS = 2  # for each of them
LEAST_SCORE = 0.25  # of the best file's
MOST_WORKSTREAMS = 20  # to look ahead for; each costs a query
WILD = re.compile(r"[*?\[]")
TEST_WORDS = re.compile(r"(?i)(^tests?[_-]?|[_.-]?(tests?|spec)$)")


@dataclass(frozen=True, slots=True)
class Survey:
    """Looks at plans over one commit; every question is asked once."""

    settings: Settings
    paths: frozenset[str]
    ask: Callable[[ContextRequest], Manifest]
    _seen: dict[ContextRequest, Manifest] = field(default_factory=dict)

    @classmethod
    def of(cls, repo: Repo, commit: str, settings: Settings) -> "Survey":
        """A survey of a commit's tree."""
        tree = repo.tree_of(commit)
        paths = frozenset(entry.path for entry in repo.entries(tree) if regular(entry))
        return cls(settings, paths, asking(repo, commit, tree))

    def scoped(self, plan: Plan) -> Plan:
        """The plan with a scope for each workstream that has none. Raises InvalidInput if no file fits its task."""
        return with_scopes(plan, {workstream.id: self._scope(plan, workstream) for workstream in scopeless(plan)})

    def collisions(self, plan: Plan) -> tuple[Collision, ...]:
        """The workstreams that may run at once and are likely to change the same files; none for very large plans."""
        pairs = at_once(plan)
        if not pairs or len(plan.workstreams) > MOST_WORKSTREAMS:
            return ()
        return forecast([self._work(plan, workstream) for workstream in plan.workstreams], pairs)

    def _manifest(self, plan: Plan, workstream: Workstream) -> Manifest:
        request = edit_request(self.settings, plan, workstream, self.paths)
        if request not in self._seen:
            self._seen[request] = self.ask(request)
        return self._seen[request]

    def _work(self, plan: Plan, workstream: Workstream) -> Work:
        manifest, scope = self._manifest(plan, workstream), workstream.scope
        files = {file.path: file.score for file in (*manifest.files, *manifest.tests)}
        return Work(id=workstream.id, write=scope.write, files=files, protect=scope.protect)

    def _scope(self, plan: Plan, workstream: Workstream) -> tuple[str, ...]:
        manifest = self._manifest(plan, workstream)
        code = _likeliest(manifest)
        named = [file.path for file in manifest.tests if file.included_as == "target"]
        found = dict.fromkeys([*self._new_files(workstream), *code, *named, *self._tests(code)])
        scope = tuple(_as_glob(path) for path in found if self._may_be_given(workstream, path))
        if not scope:
            message = f"workstream {workstream.id} has no scope, and no file of the repository fits its task"
            raise InvalidInput(message, hint="say under `scope: {write: [...]}` which files it may change or create")
        return scope

    def _tests(self, code: Sequence[str]) -> Iterator[str]:
        """The tests that go by the names of files of code: for each of these the few that lie nearest."""
        from branchline.context.code.languages import category_of, language_of

        wanted: dict[str, list[str]] = {_stem(path): [] for path in code}
        for path in sorted(self.paths):
            if (stem := _stem(path)) in wanted and category_of(path, language_of(path)) == "tests":
                wanted[stem].append(path)
        for path in code:
            folders = {*path.split("/")}
            yield from sorted(wanted[_stem(path)], key=lambda test: -len(folders & {*test.split("/")}))[:MOST_TESTS]

    def _new_files(self, workstream: Workstream) -> list[str]:
        """Names of files that a task tells and the tree does not have: those that it is to make."""
        from branchline.context.code.languages import language_of

        words = (word.rstrip(".") for word in NAMED.findall(workstream.prompt))
        return [
            word
            for word in words
            if word not in self.paths
            and "." in word.rpartition("/")[2][1:]
            and language_of(word)
            and not {"", ".", ".."} & set(word.split("/"))
        ]

    def _may_be_given(self, workstream: Workstream, path: str) -> bool:
        """Whether a path may be in a scope that nobody wrote: nothing protected, nothing that a file could not say."""
        settings = self.settings
        barred = matches_folded((*workstream.scope.protect, *settings.guarded), path)
        return path.isprintable() and (not barred or matches_any(settings.allow_protected, path))


def _likeliest(manifest: Manifest) -> list[str]:
    """The files that the task names, and the best of the code; of a tree without any, the best of what there is."""
    named = [file.path for file in manifest.files if file.included_as == "target"]
    ranked = [file for file in manifest.files if file.included_as == "ranked"]
    code = [file for file in ranked if file.category == "code"] or ranked
    best = max((file.score for file in code), default=0.0)
    return [*named, *(file.path for file in code if file.score >= LEAST_SCORE * best)][: max(MOST_CODE, len(named))]


def _stem(path: str) -> str:
    """A file's name without its ending, and without what makes it a test's: by it the two belong together."""
    name = path.rpartition("/")[2]
    name = name.removeprefix(".").partition(".")[0] if ".test." in name or ".spec." in name else name.rpartition(".")[0]
    return TEST_WORDS.sub("", name).lower()


def _as_glob(path: str) -> str:
    """The glob that matches a path and nothing else."""
    return WILD.sub(lambda sign: f"[{sign[0]}]", path)


def made_scopes(before: Plan, after: Plan) -> tuple[str, ...]:
    """What to know of the scopes that were made, a sentence each."""
    made = (after.workstream(workstream.id) for workstream in scopeless(before))
    return tuple(f"workstream {w.id} has no scope; by its task it may write {', '.join(w.scope.write)}" for w in made)
