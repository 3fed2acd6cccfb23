from pathlib import Path

import msgspec
import pytest

from branchline.config.load import load_settings
from branchline.config.problems import InvalidFile
from branchline.config.removed import recorded_settings
from branchline.config.settings import Settings
from branchline.errors import InvalidInput

WRITTEN = [
    ("cassettes: {mode: record}", 2, 1, "`cassettes` was removed in 0.2"),
    ("secrets: {scan: true, scanner: none}", 2, 23, "`secrets.scanner` was removed in 0.2: gitleaks is a gate"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), WRITTEN)
def test_a_removed_key_is_named_with_its_place_and_what_to_do(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    path = tmp_path / "branchline.yaml"
    path.write_text(f"version: 1\n{text}\n")
    with pytest.raises(InvalidFile) as caught:
        load_settings(path, root=tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert problem.message.startswith(message)
    assert problem.hint


def test_a_run_that_has_pinned_a_removed_key_does_not_go_on_without_it() -> None:
    with pytest.raises(InvalidInput, match="an earlier version of Branchline: `cassettes` was removed") as caught:
        recorded_settings({"settings": {"version": 1, "cassettes": {"mode": "replay"}}})
    assert "branchline run" in caught.value.hint


def test_pinned_settings_are_read_as_they_were() -> None:
    settings = Settings(version=1, max_parallel=7)
    assert recorded_settings({"settings": msgspec.to_builtins(settings)}) == settings
