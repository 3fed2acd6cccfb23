"""What an agent gets to know from the start."""

from typing import Any

import msgspec

from branchline.attempt.asking.context import CHARACTERS, MOST_SPANS, base_files, conventions, given, unabridged
from branchline.core.model.agent import ContextFile
from branchline.core.model.manifest import Manifest, ManifestFile, SelectionParams, Span
from support import Project
from unit.attempt.conftest import Make

PARAMS = SelectionParams(
    task_type="edit", text_sha256="", keywords=(), target_files=(), scope=(), max_tokens=1, max_files=1
)


def file(path: str, mode: str = "full", *spans: tuple[int, int], **fields: Any) -> ManifestFile:
    made: dict[str, Any] = {"category": "code", "score": 1.0, "breakdown": {}, "size_bytes": 900, "tokens": 30} | fields
    shown = tuple(Span(start=start, end=end) for start, end in spans)
    return ManifestFile(path=path, mode=mode, sha256=path, spans=shown, **made)  # type: ignore[arg-type]


def manifest(*files: ManifestFile, tests: tuple[ManifestFile, ...] = ()) -> Manifest:
    return Manifest(
        selection_params=PARAMS,
        config_fingerprint="",
        tokens_by="estimate",
        total_files=len(files) + len(tests),
        total_tokens=0,
        truncated=False,
        files=files,
        tests=tests,
    )


def test_conventions_are_marked_cut_and_told_once(make: Make) -> None:
    def prepare(project: Project) -> str:
        (project.root / "CLAUDE.md").symlink_to("AGENTS.md")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "link")
        return project.git("rev-parse", "HEAD")

    long = "".join(f"rule {number}\n" for number in range(1000))
    run = make(
        {"AGENTS.md": "Use ``` tabs.\x1b[0m", "CONTRIBUTING.md": long, "docs/AGENTS.md": "no"}, prepare=prepare
    ).run
    told = conventions(run, base_files(run))
    assert told.startswith(
        "AGENTS.md:\n\n````markdown\nUse ``` tabs.\\x1b[0m\n````\n\nCONTRIBUTING.md:\n\n```markdown\n"
    )
    assert "CLAUDE" not in told
    assert "docs" not in told
    assert len(told) < CHARACTERS + 200
    assert f"of {len(long):,} characters]" in told
    assert unabridged(run, base_files(run)) == ("CONTRIBUTING.md",), "what the prompt does not hold is to be read"


def test_no_conventions(make: Make) -> None:
    run = make({"README.md": "x", "AGENTS.md": " \n"}).run
    assert conventions(run, base_files(run)) == ""
    assert unabridged(run, base_files(run)) == ()


def test_what_may_be_written_is_to_edit_and_tests_come_last() -> None:
    found = given(manifest(file("b.py"), file("a.py"), tests=(file("test_b.py"),)), lambda path: path != "a.py")
    assert [(one.path, one.role) for one in found] == [("b.py", "edit"), ("a.py", "read"), ("test_b.py", "edit")]
    assert [one.role for one in given(manifest(file("b.py")))] == ["read"]
    assert given(manifest()) == ()


def test_an_outline_is_for_reading_whoever_may_write_the_file() -> None:
    (only,) = given(manifest(file("a.py", "outline", (1, 1))), lambda _path: True)
    assert (only.role, only.form) == ("read", "outline")


def test_parts_of_a_file_are_the_longest_in_order_and_its_size_is_the_whole_files() -> None:
    spans = [(number * 10, number * 10 + number % 7) for number in range(1, 20)]
    (only,) = given(manifest(file("a.py", "excerpt", *spans, size_bytes=30_000)))
    assert len(only.spans) == MOST_SPANS
    assert [span.start for span in only.spans] == sorted(span.start for span in only.spans)
    assert min(span.end - span.start for span in only.spans) >= 4
    assert only.tokens == 10_000


def test_why_a_file_is_given() -> None:
    points = {"title": 0.1, "symbols": 0.5, "imports": 0.3}
    ranked = file("a.py", breakdown=points)
    target, pin = file("b.py", included_as="target", breakdown=points), file("c.py", included_as="pin")
    assert [one.why for one in given(manifest(ranked, target, pin))] == [
        "symbols, imports",
        "part of the task",
        "always given",
    ]


def test_a_plain_file_is_written_down_as_briefly_as_ever() -> None:
    assert msgspec.to_builtins(ContextFile(path="a", role="edit")) == {"path": "a", "role": "edit"}
