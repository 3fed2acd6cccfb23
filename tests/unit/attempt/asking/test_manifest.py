"""The broker asked by a step: its answer is kept, and nothing that ails it stops anybody."""

import threading
from pathlib import Path

import msgspec
import pytest

from branchline.attempt.asking.context import asking, choose
from branchline.attempt.run import Run
from branchline.core.model.manifest import ContextRequest, ContextSettings, Manifest
from branchline.core.work import Given
from branchline.errors import InvalidInput
from unit.attempt.conftest import Make

FILES = {"src/parser.py": "def parse_number() -> int:\n    return 1\n", "src/x.py": "x = 1\n", "docs/a.md": "# A\n"}
REQUEST = ContextRequest(text="parse_number is wrong", targets=("docs/a.md",))


def kept(run: Run, told: Given) -> Manifest:
    """The manifest that an agent is given files of."""
    return msgspec.json.decode(
        (run.paths.artifacts / "manifests" / f"{told.manifest}.json").read_bytes(), type=Manifest
    )


def test_the_answer_is_kept_under_its_digest(make: Make) -> None:
    run = make(FILES).run
    told = choose(run, REQUEST, run.base, run.repo.tree_of(run.base), lambda path: path.endswith(".py"))
    manifest = kept(run, told)
    assert [(file.path, file.role) for file in told.files][:2] == [("docs/a.md", "read"), ("src/parser.py", "edit")]
    assert (len(told.files), told.tokens) == (manifest.total_files, manifest.total_tokens)
    assert choose(run, REQUEST, run.base, run.repo.tree_of(run.base)).manifest == told.manifest


def test_guidance_that_a_prompt_does_not_hold_whole_is_given(make: Make) -> None:
    run = make({**FILES, "AGENTS.md": "rule\n" * 3000}, context=ContextSettings(pin=("src/x.py",))).run
    settings = ContextSettings(pin=("src/x.py",))
    told = choose(run, ContextRequest(text="parse_number", settings=settings), run.base, run.repo.tree_of(run.base))
    assert {file.path for file in told.files if file.why == "always given"} == {"src/x.py", "AGENTS.md"}


def test_a_tree_that_is_gone_gives_a_manifest_without_files(make: Make) -> None:
    run = make(FILES).run
    told = choose(run, REQUEST, run.base, "0" * 40)
    manifest = kept(run, told)
    assert (told.files, manifest.files) == ((), ())
    assert "no files could be chosen: GitError" in told.warning
    assert manifest.selection_params.target_files == ("docs/a.md",)


def test_what_the_settings_ask_for_and_is_not_there_is_told(make: Make) -> None:
    run = make(FILES).run
    with pytest.raises(InvalidInput, match=r"nowhere\.py"):
        choose(run, ContextRequest(targets=("nowhere.py",)), run.base, run.repo.tree_of(run.base))


def test_many_may_ask_at_once(make: Make) -> None:
    run = make({f"src/m{number}.py": f"def parse_number_{number}(): ...\n" for number in range(40)}).run
    found: list[Manifest] = []

    def ask() -> None:
        found.append(asking(run.repo, run.base, run.repo.tree_of(run.base))(ContextRequest(text="parse_number_7")))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 6
    assert found[0].files[0].path == "src/m7.py"


def test_one_asks_about_a_tree_as_often_as_one_likes(make: Make) -> None:
    run = make(FILES).run
    ask = asking(run.repo, run.base, run.repo.tree_of(run.base))
    small = ask(ContextRequest(text="parse_number", settings=ContextSettings(max_files=1)))
    assert [file.path for file in small.files] == ["src/parser.py"]
    assert ask(REQUEST) == ask(REQUEST)
    assert Path(run.repo.common_dir, "branchline").is_dir(), "all worktrees and runs share one index"
