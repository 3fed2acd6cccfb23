import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from branchline.sandbox.mounts import Mount, own
from branchline.sandbox.sockets import listening, sights_of


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    """A folder with sockets in it, one of them by way of a link."""
    (tmp_path / "link").symlink_to(tmp_path)
    with ExitStack() as stack:
        for name in ("link/one", "a b"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(str(tmp_path / name))
        yield tmp_path


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="it reads /proc")
def test_sockets_of_the_machine_are_found_where_they_really_are(bound: Path) -> None:
    found = [*listening()]
    assert {bound / "one", bound / "a b"} <= {*found}
    assert bound / "link/one" not in found


def test_each_place_at_which_one_is_seen(bound: Path) -> None:
    sockets = [bound / "one", bound / "none", Path(os.devnull)]
    place, again = Path("/elsewhere"), Path("/again/x")
    mounts = (Mount(bound, place, "write"), Mount(bound / "one", again, "read"), *own("read", Path("/dev")))
    assert [*sights_of(iter(sockets), mounts)] == [place / "one"]
    covered = (*own("closed", Path("/")), *own("read", bound), *own("closed", bound))
    assert [*sights_of(iter(sockets), covered)] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_one_that_we_may_not_see_is_no_matter(bound: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from branchline.sandbox.mounts import own
from branchline.sandbox.sockets import sights_of
os.setuid(12345)
print([*sights_of(iter([Path(sys.argv[1])]), own("read", Path("/tmp"), Path("/var")))])
"""
    bound.chmod(0o700)
    done = subprocess.run([sys.executable, "-c", code, str(bound / "one")], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
