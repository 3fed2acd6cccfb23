"""What a change does to that by which it is judged: tests, tools' configuration, files of gates, words that excuse.

A remark is no verdict. A change that has none may still be wrong: nobody can tell by patterns what a test proves.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from branchline.core.rules.judge_files import changed_parts, configures, hides
from branchline.core.rules.linear import linear
from branchline.core.rules.remark import KINDS, JudgeKind, Remark

_COMMENTS = (b"#", b"//", b"*", b"--", b"/*", b";")
_TESTS = (
    rb"(?m)^\s*(?:async\s+)?def\s+test|^\s*class\s+Test|\bfunction\s+test|\bfunc\s+(?:Test|Fuzz|Example)\w*\s*\(|@test\b"
    rb"|\b(?:it|test|specify|scenario)(?:\.each|\.concurrent)?\s*(?:\(|[\"'])|#\[(?:\w+::)*test|#\[rstest"
    rb"|@(?:Test|ParameterizedTest|RepeatedTest|Property)\b|\[(?:Fact|Theory|Test|TestMethod|TestCase)\b"
    rb"|\b(?:TEST|TEST_F|TEST_P|TEST_CASE|SCENARIO)\s*\("
)
_CHECKS = (
    rb"(?i)\bassert|\bexpect|\bshould|\brequire\.|\bverify\s*\(|pytest\.(?:raises|warns|fail)|\.fail\w*\s*\("
    rb"|\bt\.(?:error|fatal)|\b(?:check|require)(?:_\w+)?\s*\("
)
_SKIPS = (
    rb"\bmark\.(?:skip|xfail)|\bpytest\.(?:skip|xfail|importorskip|exit)|\bunittest\.(?:skip|expectedFailure)|\bskip(?:Test|If|Unless)\b"
    rb"|@(?:[a-z.]*skip\w*|expectedFailure|Ignore|Disabled\w*)\b|SkipTest|\.(?:skip|todo|only|fixme|failing)\b\s*[.(`]"
    rb"|\b(?:x|f)(?:it|describe|test|context|specify)\s*\(|\bt\.Skip|#\[ignore|\[Ignore|Skip\s*=\s*\"|\bpending\b"
    rb"|markTest(?:Skipped|Incomplete)|GTEST_SKIP|\bDISABLED_|__test__\s*=\s*False|collect_ignore|--deselect|--ignore"
    rb"|@tag\s+:skip|\bskip:|testPathIgnorePatterns|^\s*//go:build"
)
_EXITS = (
    rb"\b_exit\b|\bos\.(?:exec\w+|abort|posix_spawn\w*)\b|\bpytest\.exit\b|\breallyExit\b|\bRuntime\.getRuntime\(\)\.halt"
    rb"|^(?:sys\.exit|raise\s+SystemExit)\b|^(?:exit|quit)\s*\(|\bsession\.exitstatus\b|\bos\.kill\s*\("
)
_LOADED_EXITS = _EXITS + (
    rb"|\bsys\.exit\b|\braise\s+SystemExit\b|\batexit\b|\b(?:exit|quit)\s*\(|\bprocess\.(?:exit|abort|kill)|\bSystem\.exit\b"
    rb"|\bos\.Exit\b|\bprocess::(?:exit|abort)|\bexit!|^\s*exit\s+0\b|\bexitCode\s*="
)
_SECRET_EXCUSES = rb"(?i)pragma:\s*(?:allow|white)list|gitleaks:\s*allow|trufflehog:\s*ignore|\bggignore\b|\bnosecret|secretlint-disable"
_EXCUSES = (
    rb"(?i)\bnosec\b|\bnoqa\b|\btype:\s*ignore|pyright:\s*(?:ignore|basic)|mypy:\s*(?:ignore|disable)|pylint:\s*(?:disable|skip)"
    rb"|pragma:\s*no\s*(?:cover|branch|mutate)|eslint-disable|@ts-(?:ignore|nocheck|expect-error)|nosemgrep|\bnolint|@SuppressWarnings"
    rb"|#!?\[allow\(|rubocop:\s*disable|istanbul\s+ignore|\b(?:c8|v8)\s+ignore|shellcheck\s+disable|@phpstan-ignore|@psalm-suppress"
    rb"|biome-ignore|prettier-ignore|deno-lint-ignore|tslint:\s*disable|NOSONAR|checkov:\s*skip|tfsec:\s*ignore|trivy:\s*ignore"
    rb"|hadolint\s+ignore|fmt:\s*(?:off|skip)|skipcq|coverage:\s*ignore|#\s*pragma\s+warning\s+disable|@Suppress\b|swiftlint:disable"
)
_WORD = 40  # bytes of a match, which an agent wrote
_PROSE = (".md", ".rst", ".txt", ".adoc", ".mdx")
_LOADED = frozenset({"__init__.py", "__main__.py", "index.js", "index.ts", "setup.py", "mod.rs", "main_test.go"})


class Changed(NamedTuple):
    """One changed path: its content before and after, None where it was not there; `moved`: where that content is now.

    `seen`: whether the content was looked at; what is too large was not.
    """

    path: str
    old: bytes | None
    new: bytes | None
    moved: str = ""
    seen: bool = True


class Judging(NamedTuple):
    """How a run judges. `is_test`: by a path; `named`: what names a file on the way from a gate's command, by path.

    `modules`, `folders`: what gates load, and where they run; `there`: the folders of the base.
    """

    is_test: Callable[[str], bool]
    named: Mapping[str, str] = {}
    modules: Collection[str] = ()
    folders: Collection[str] = ()
    there: Collection[str] = ()


def remarks(changes: Iterable[Changed], judging: Judging) -> list[Remark]:
    """All that is to be said, deleted tests first."""
    found = [one for change in changes for one in _of(change, judging)]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.path))


def judges(path: str, judging: Judging) -> bool:
    """Whether gates go by a file of that name: what one gate leaves, a later one may obey."""
    hidden = hides(path, judging.modules, judging.folders, judging.there)
    return bool(judging.is_test(path) or configures(path) or hidden or path in judging.named)


def _of(change: Changed, judging: Judging) -> Iterator[Remark]:
    path, old, new = change.path, change.old, change.new
    verb = "added" if old is None else "deleted" if new is None else "changed"
    is_test, loaded = judging.is_test(path), configures(path)
    if is_test and old is not None and not loaded:
        yield _test(change)
    elif path in judging.named:
        yield Remark(kind="gate-file", path=path, detail=f"{verb}, named by {judging.named[path]}")
    elif loaded and (parts := changed_parts(path, old, new)) is not None:
        yield Remark(kind="tool-config", path=path, detail=f"{verb}: {parts}" if parts else verb)
    if old is None and (hidden := hides(path, judging.modules, judging.folders, judging.there)):
        yield Remark(kind="shadow", path=path, detail=hidden)
    if new is None or not change.seen:
        return
    loaded = loaded or is_test or path in judging.named or path.rpartition("/")[2] in _LOADED
    patterns: list[tuple[JudgeKind, bytes]] = [("secret-excuse", _SECRET_EXCUSES), ("excuse", _EXCUSES)]
    if not path.endswith(_PROSE):
        patterns.append(("exit", _LOADED_EXITS if loaded else _EXITS))
    for kind, pattern in patterns:
        if detail := _new_lines(pattern, old or b"", new):
            yield Remark(kind=kind, path=path, detail=detail)


def _test(change: Changed) -> Remark:
    """What became of a test that was there."""
    path, old, new = change.path, change.old or b"", change.new
    if new is None:
        if change.moved:
            return Remark(kind="changed-test", path=path, detail=f"moved to {change.moved}")
        return Remark(kind="deleted-test", path=path)
    if not change.seen:
        return Remark(kind="changed-test", path=path, detail="too large to look through")
    lost = []
    for pattern, noun in ((_TESTS, "test"), (_CHECKS, "check")):
        fewer = _count(pattern, old) - _count(pattern, new)
        if fewer > 0:
            lost.append(f"{fewer} {noun}{'s' if fewer > 1 else ''} fewer")
    if skipped := _new_lines(_SKIPS, old, new):
        lost.append(f"passed over in {skipped}")
    if not lost and old.strip() and not new.strip():
        lost.append("emptied")
    return Remark(kind="weakened-test" if lost else "changed-test", path=path, detail=", ".join(lost))


def _count(pattern: bytes, text: bytes) -> int:
    """How often a pattern stands in the lines that are no comments."""
    lines = (line for line in text.split(b"\n") if not _is_comment(line.lstrip()))
    return sum(1 for _ in linear(pattern).finditer(b"\n".join(lines)))


def _is_comment(line: bytes) -> bool:
    return line.startswith(_COMMENTS) and not line.startswith(b"#[")


def _new_lines(pattern: bytes, old: bytes, new: bytes) -> str:
    """Where the pattern stands in lines that the old text has not, as "line 3: os._exit and 2 more"; empty if nowhere."""
    find = linear(b"(?m)" + pattern).search
    if find(new) is None:
        return ""
    left = Counter(line.strip() for line in old.split(b"\n"))
    found = []
    for number, line in enumerate(new.split(b"\n"), start=1):
        if (match := find(line)) is None:
            continue
        if left[line.strip()] > 0:
            left[line.strip()] -= 1
        else:
            found.append((number, match.group().strip()[:_WORD].decode("ascii", "replace")))
    if not found:
        return ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"line {found[0][0]}: {found[0][1]}{more}"
