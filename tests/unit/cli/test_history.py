from pathlib import Path

from branchline.cli.history import find_root


def test_the_nearest_folder_with_runs_counts(tmp_path: Path) -> None:
    (tmp_path / ".runs").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_root(tmp_path / "a" / "b") == tmp_path


def test_a_repository_inside_another_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / ".runs").mkdir()
    (tmp_path / "inner" / "src").mkdir(parents=True)
    (tmp_path / "inner" / ".git").write_text("gitdir: elsewhere\n")
    assert find_root(tmp_path / "inner" / "src") == tmp_path / "inner"


def test_without_either_it_is_the_folder_itself(tmp_path: Path) -> None:
    assert find_root(tmp_path) == tmp_path
