"""From ranked files and a budget to what a manifest holds: which files, in which form, what is left out and why."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from branchline.context.index.scan import CACHES, METADATA
from branchline.core.model.manifest import Candidate, ContextRequest, ExcludedFile, Form, ManifestFile, Mode
from branchline.core.rules.globs import fold, matches_any
from branchline.core.rules.linear import compiled

GROWTH: dict[Mode, tuple[int, int]] = {"outline": (1, 0), "excerpt": (2, 1), "full": (6, 5)}
"""File i of the queue, from 0, grows to a mode when file a * i + b comes in, in its smallest form."""
NEARLY = 1.3
"""A form is passed over if the next larger one costs at most so many times as much."""
SMALL, SHARE = 1500, 0.25
"""A form of more than SMALL tokens waits until it is at most this share of all that stands before it."""
PLACES = 4
"""Decimal places of a score: files are ranked by what the manifest says, not by noise behind it."""

INNER = frozenset({".git", ".runs"})
SECRET_FOLDERS = frozenset({".ssh", ".gnupg"})
SECRET_NAME = compiled(
    r"""\A(?: \.env(rc)?
    | \.env\.(?!(example|sample|template|dist)$).*
    | .*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)
    | .*\.tfstate(\..*)?
    | id_(rsa|dsa|ecdsa|ed25519).*
    | secrets\.(ya?ml|json|toml|ini|cfg|conf|properties|xml|txt|env|tfvars)
    | client_secret.*\.json
    | credentials(\.(json|ya?ml|toml|ini|csv|xml|txt|db))?
    | \.(netrc|npmrc|pypirc|pgpass|htpasswd|git-credentials|dockercfg) )
    """,
    re.VERBOSE | re.DOTALL,
)
"""Names, in lower case, of files that hold secrets. Source code such as secrets.py is none, nor is .env.example."""

Role = Literal["target", "pin", "ranked"]
ROLES: tuple[Role, ...] = ("target", "pin", "ranked")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a manifest holds. `files`, `tests`: targets, pins and the rest, each by score, then size, then path.

    `excluded`: all that is out, targets first, then by score; `truncated`: a file that matched is out for the budget or
    for `max_files`. `total_tokens` is over the budget only if the targets alone are.
    """

    files: tuple[ManifestFile, ...]
    tests: tuple[ManifestFile, ...]
    excluded: tuple[ExcludedFile, ...]
    total_tokens: int
    truncated: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A candidate that nothing but the budget can keep out, with the forms to choose between."""

    candidate: Candidate
    role: Role
    forms: tuple[Form, ...]


def select(
    request: ContextRequest,
    candidates: Iterable[Candidate],
    excluded: Iterable[ExcludedFile] = (),
    *,
    budget: int | None = None,
) -> Selection:
    """Choose files and their forms. The same candidates in any order give the same selection.

    `candidates`: each path once, scores finite, at least one form each. `excluded`: what earlier stages left out.
    `budget`: tokens, if not the request's own, as where a margin is kept back.

    Targets are in whatever they cost, as large as one file may be; only secrets and what is in git's folder or ours
    stays out (see `bans`). They count towards `max_files` and caps but are not refused by them, nor are pins by caps.
    Ranked files are in if their score is above 0. A larger budget gives the same files and more, none of them smaller.
    """
    limit = request.budget if budget is None else budget
    gate = _Gate(request)
    entries = [entry for one, role in _in_order(request, candidates) if (entry := gate.enter(one, role))]
    chosen = _chosen(entries, limit)
    for entry in entries:
        if entry.candidate.path not in chosen:
            gate.refuse(entry.candidate, "budget")
    files = sorted(chosen.values(), key=lambda f: (ROLES.index(f.included_as), -f.score, f.size_bytes, f.path))
    out = _left_out(request, chosen, (*excluded, *gate.refused))
    return Selection(
        files=tuple(file for file in files if file.category != "tests"),
        tests=tuple(file for file in files if file.category == "tests"),
        excluded=out,
        total_tokens=sum(file.tokens for file in files),
        truncated=any(one.reason in {"budget", "max_files"} and one.score > 0 for one in gate.refused),
        warnings=tuple(_warnings(request, files, out, limit)),
    )


def rounded(number: float) -> float:
    """A score as a manifest tells it; never minus zero."""
    return round(number, PLACES) + 0.0


def _in_order(request: ContextRequest, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, Role]]:
    """Targets as they were asked for, pins by path, and the rest by score, then size, then path."""
    by_path = {candidate.path: candidate for candidate in candidates}
    for path in request.targets:
        if path in by_path:
            yield by_path.pop(path), "target"
    for path in sorted(path for path in by_path if matches_any(request.settings.pin, path)):
        yield by_path.pop(path), "pin"
    for candidate in sorted(by_path.values(), key=lambda c: (-rounded(c.score), c.size_bytes, c.path)):
        yield candidate, "ranked"


@dataclass(slots=True)
class _Gate:
    """Lets candidates in one by one, whatever the budget, and remembers whom it refused."""

    request: ContextRequest
    refused: list[ExcludedFile] = field(default_factory=list)
    _paths: dict[str, str] = field(default_factory=dict)  # by content
    _counts: Counter[str] = field(default_factory=Counter)  # by category

    def enter(self, candidate: Candidate, role: Role) -> _Entry | None:
        """The candidate's entry; None if it is refused."""
        forms = distinct(candidate.forms, self.request.settings.max_file_tokens)
        if role == "target":
            forms = forms or candidate.forms[:1]
        reason, detail = self._objection(candidate, role)
        if reason or not forms:
            self.refuse(candidate, reason or "too_large", detail)
            return None
        self._paths.setdefault(candidate.sha256, candidate.path)
        self._counts[candidate.category] += 1
        return _Entry(candidate, role, forms)

    def refuse(self, candidate: Candidate, reason: str, detail: str = "") -> None:
        """Note that a candidate stays out."""
        score = rounded(candidate.score)
        self.refused.append(ExcludedFile(path=candidate.path, reason=reason, score=score, detail=detail))

    def _objection(self, candidate: Candidate, role: Role) -> tuple[str, str]:
        """Why a candidate stays out, and what more there is to say about it; empty if it may come in."""
        settings, category = self.request.settings, candidate.category
        ban = ban_of(candidate.path, settings.ban, is_target=role == "target")
        if ban or role == "target":
            return ban, ""
        if category == "tests" and not settings.include_tests:
            return "tests", ""
        if role == "ranked" and rounded(candidate.score) <= 0:
            return "no_match", ""
        if candidate.sha256 in self._paths:
            return "duplicate", self._paths[candidate.sha256]
        cap = getattr(settings.caps, category)
        if role == "ranked" and cap is not None and self._counts[category] >= cap:
            return "cap", category
        return ("max_files" if self._counts.total() >= settings.max_files else ""), ""


def _chosen(entries: Sequence[_Entry], limit: int) -> dict[str, ManifestFile]:
    """Targets, each in its largest form, and what else fits, by path."""
    targets = [entry for entry in entries if entry.role == "target"]
    others = [entry for entry in entries if entry.role != "target"]
    shown = grown(
        [entry.forms for entry in others],
        pinned=sum(entry.role == "pin" for entry in others),
        spent=sum(entry.forms[-1].tokens for entry in targets),
        limit=limit,
    )
    pairs = [(entry, entry.forms[-1]) for entry in targets] + [(others[place], form) for place, form in shown.items()]
    return {entry.candidate.path: _file(entry, form) for entry, form in pairs}


def _file(entry: _Entry, form: Form) -> ManifestFile:
    candidate = entry.candidate
    return ManifestFile(
        path=candidate.path,
        category=candidate.category,
        mode=form.mode,
        score=rounded(candidate.score),
        breakdown={signal: rounded(points) for signal, points in candidate.breakdown.items()},
        size_bytes=candidate.size_bytes,
        tokens=form.tokens,
        sha256=candidate.sha256,
        included_as=entry.role,
        flag=candidate.flag,
        spans=form.spans,
    )


def _left_out(request: ContextRequest, chosen: Iterable[str], outs: Iterable[ExcludedFile]) -> tuple[ExcludedFile, ...]:
    """Each file that is out once, targets first; a target that nobody has heard of is missing."""
    targets = frozenset(request.targets)
    by_path = {path: ExcludedFile(path=path, reason="missing") for path in targets}
    by_path.update((out.path, out) for out in outs)
    for path in chosen:
        by_path.pop(path, None)
    return tuple(sorted(by_path.values(), key=lambda out: (out.path not in targets, -out.score, out.path)))


def _warnings(
    request: ContextRequest, files: Iterable[ManifestFile], outs: Iterable[ExcludedFile], limit: int
) -> Iterator[str]:
    needed = sum(file.tokens for file in files if file.included_as == "target")
    if needed > limit:
        yield f"the targets alone need {needed} tokens, where there is room for {limit}"
    targets = frozenset(request.targets)
    reasons = Counter(out.reason for out in outs if out.path in targets)
    if reasons:
        yield "targets that are left out: " + ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))


def ban_of(path: str, globs: Iterable[str] = (), *, is_target: bool = False) -> Literal["", "secret", "banned"]:
    """Why a path is never shown; empty if it may be. `globs` are the user's; the built-in bans are blind to case.

    Targets override caches and the user's globs, because somebody named them; secrets and the inner folders they do not
    override, because a plan that an agent wrote may name targets too.
    """
    *folders, name = fold(path).split("/")
    if SECRET_NAME.fullmatch(name) or not SECRET_FOLDERS.isdisjoint(folders):
        return "secret"
    if not INNER.isdisjoint(folders):
        return "banned"
    if not is_target and (not (CACHES | METADATA).isdisjoint(folders) or matches_any(globs, path)):
        return "banned"
    return ""


@dataclass(frozen=True, slots=True)
class _Step:
    """A file of the queue grows to a form; `cost` is what that adds, `size` what decides whether it waits."""

    key: int
    file: int
    form: Form
    cost: int
    size: int


def distinct(forms: Sequence[Form], max_full: int) -> tuple[Form, ...]:
    """The forms to choose between, each clearly larger than the one before; `max_full`: tokens of a whole file, at most.

    None are left of a file that has no other form than a whole that is too large.
    """
    kept: list[Form] = []
    for form in reversed(forms):
        fits = form.mode != "full" or form.tokens <= max_full
        if fits and (not kept or kept[-1].tokens > NEARLY * form.tokens):
            kept.append(form)
    return tuple(reversed(kept))


def grown(queue: Sequence[tuple[Form, ...]], *, pinned: int, spent: int, limit: int) -> dict[int, Form]:
    """The files of a queue that are shown, by their place in it, and how. Best files come first.

    Each has its forms as `distinct` leaves them. `pinned`: so many files in front all come in before any of them grows.
    `spent`: tokens that are in use already, of the `limit`.

    A larger budget never shows less of any of them. That holds exactly if what is shown under every budget is the
    beginning of one sequence of steps; so there is one, made without looking at the budget and cut where the budget ends.
    What remains unused is less than what the next step costs. Therefore small forms come first, and a large one waits
    until enough stands before it: as long as anything else is left to show, what remains unused is less than SMALL, or
    than SHARE of what is used.
    """
    shown: dict[int, Form] = {}
    for step in _sequence(queue, pinned, spent):
        spent += step.cost
        if spent > limit:
            break
        shown[step.file] = step.form
    return shown


def _sequence(queue: Sequence[tuple[Form, ...]], pinned: int, spent: int) -> Iterator[_Step]:
    """All steps by their keys, but for those that wait.

    A file's forms stay in order: where one need not wait, neither need the smaller ones, which stand before it.
    """
    steps, waiting = list[_Step](), list[_Step]()
    for file, forms in enumerate(queue):
        before = 0
        for number, form in enumerate(forms):
            factor, offset = GROWTH[form.mode] if number else (1, 0)
            is_first = file < pinned and not number
            key, size = (-1, 0) if is_first else (factor * file + offset, form.tokens)
            steps.append(_Step(key, file, form, form.tokens - before, size))
            before = form.tokens
    for step in sorted(steps, key=lambda step: step.key):
        waiting.append(step)
        while ready := next((s for s in waiting if s.size <= max(SMALL, SHARE * spent)), None):
            waiting.remove(ready)
            spent += ready.cost
            yield ready
    yield from waiting
