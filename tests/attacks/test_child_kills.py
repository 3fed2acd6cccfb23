"""A few runs whose children are killed; `make child-kills` tries two hundred."""

from pathlib import Path

import pytest

from child_kills import tried


@pytest.mark.parametrize("seed", [3, 108])
def test_a_run_whose_children_are_killed_ends_truthfully(tmp_path: Path, seed: int) -> None:
    trial = tried(seed, tmp_path)
    assert trial.killed
    assert trial.lies == [], str(trial)
