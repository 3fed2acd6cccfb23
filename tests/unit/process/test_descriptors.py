"""Descriptors are shared out: one proxy has so many, and all of them not more than half of what there is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[3] / "src"
SHARES = """
import json, resource, sys
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from branchline.process.descriptors import Places, raised
def fill():
    places = Places()
    while places.free: places.held += 1
    return places
places = []
while (made := fill()).held: places.append(made)
print(json.dumps([raised(), resource.getrlimit(resource.RLIMIT_NOFILE), places[0].held, sum(one.held for one in places)]))
"""


@pytest.mark.parametrize(
    ("limits", "ours", "one", "together"),
    [
        ((256, 256), 256, 8, 64),
        ((1024, 1024), 1024, 32, 256),
        ((64, 1024), 1024, 32, 256),
        ((1024, 12000), 8192, 128, 2048),
    ],
)
def test_no_proxy_takes_the_places_of_others(limits: tuple[int, int], ours: int, one: int, together: int) -> None:
    code = [sys.executable, "-c", SHARES, *map(str, limits)]
    done = subprocess.run(code, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == [[ours, *limits], [ours, limits[1]], one, together], done.stderr
