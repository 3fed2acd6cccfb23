"""A small storm of workspaces; `make storms` makes the large one."""

from pathlib import Path

import pytest

from storms.workspaces import storm


@pytest.mark.parametrize(("way", "count"), [("threads", 60), ("processes", 40)])
def test_workspaces_made_twenty_at_a_time_are_all_whole(tmp_path: Path, way: str, count: int) -> None:
    made = storm(tmp_path, way, count, 20)
    assert (made.failed, made.broken) == ((), ())
