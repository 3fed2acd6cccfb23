"""What of the disk a sandbox hides, and what of that has to be shown all the same: tools, and what they were built of."""

import os
import pwd
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from branchline.process.environment import TOOL_HOMES
from branchline.sandbox.mounts import Mount, own, seen

COVERED = (
    *("/home", "/root", "/tmp", "/var/tmp", "/run", "/mnt", "/media", "/var/mail", "/var/spool", "/var/log"),  # noqa: S108 - hidden, not used
    *("/var/lib/docker", "/var/lib/containers", "/var/lib/kubelet", "/var/backups"),
)
"""Folders of other people and other programs. Sockets of daemons are in /run: read-only is no hindrance to a socket."""

SYSTEM_SECRETS = (
    *("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/krb5.keytab"),
    *("/etc/ssh", "/etc/ssl/private", "/etc/kubernetes", "/etc/rancher", "/etc/wireguard", "/etc/sudoers.d"),
)

HOME_SECRETS = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".config/gcloud", ".kube", ".docker", ".netrc", ".git-credentials"),
    *(".config/gh", ".config/hub", ".config/git/credentials", ".config/op", ".config/rclone", ".config/sops"),
    *(".password-store", ".local/share/keyrings", ".local/share/kwalletd", ".pypirc", ".npmrc", ".yarnrc.yml"),
    *(".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".terraform.d", ".vault-token", ".pgpass"),
    *(".m2/settings.xml", ".m2/settings-security.xml", ".gradle/gradle.properties", ".nuget/NuGet", ".my.cnf"),
    *(".mozilla", ".thunderbird", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware"),
    *(".config/microsoft-edge", ".config/vivaldi", ".config/opera", ".cache/mozilla", ".cache/google-chrome"),
    *(".cache/chromium", ".cache/huggingface/token", ".cache/huggingface/stored_tokens", ".config/Bitwarden"),
    *(".bash_history", ".zsh_history", ".python_history", ".node_repl_history", ".psql_history", ".lesshst"),
)
"""Hidden in a home even where a folder above them is shown."""

TOOLS = (
    *TOOL_HOMES.values(),
    *(".fnm", ".bun", ".deno", ".ghcup", ".opam", ".dotnet", ".juliaup", ".npm-global", ".npm-packages", ".poetry"),
    *(".nix-profile", ".local/bin", ".local/lib", ".local/pipx", ".local/share/pipx", ".local/share/uv"),
    *(".local/share/fnm", ".local/share/pnpm", "miniconda3", "anaconda3", "miniforge3", "mambaforge", ".linuxbrew"),
    *(".gitconfig", ".config/git"),
)
"""What a home has of programs and their settings, and no secrets in it."""

CACHES = (".cache", ".cargo", ".npm", ".m2", ".gradle", ".nuget", ".yarn", "go")
"""Folders of a home in which tools keep what they have downloaded or built."""

PROGRAM_FOLDERS = frozenset({"bin", "sbin", ".bin", "shims"})


@dataclass(frozen=True, slots=True)
class Hiding:
    """What is covered by an empty folder, what stands out of it again, and what is hidden in that once more.

    `covers` are folders, `secrets` folders or files, `links` pairs of a target and of the link to it, which a cover hides;
    all are absolute, and no folder on the way is a link.
    """

    home: Path
    covers: tuple[Path, ...]
    shows: tuple[Mount, ...]
    secrets: tuple[Path, ...]
    caches: tuple[Path, ...]
    links: tuple[tuple[Path, Path], ...]


def hiding(
    environ: Mapping[str, str], *, show: Iterable[Path], hide: Iterable[Path], over: Iterable[Path] = ()
) -> Hiding:
    """What to hide from programs with this environment; `show` and `hide` are the user's own paths, and the run's.

    `over`: folders that something else stands in for; the tools in them are shown, too, and can be written to no effect:
    programs do write to them.
    """
    homes, over = _homes(environ), [*over]
    hidden = [path.resolve() for path in hide if path.exists()]
    covers = [*_there(map(Path, COVERED)), *(one for one in homes if one != Path("/")), *hidden]
    covers = sorted({*(one for one in covers if one.is_dir()), *_temporary(environ, covers)})
    asked = [*show]
    tools = [*_tools(environ, homes[0]), *(homes[0] / name for name in TOOLS), Path("/etc/resolv.conf").resolve()]
    wanted = [path for path in (*tools, *asked) if os.path.exists(path)]  # which says no to what we may not look at
    mounts = own("empty", *covers, *over)
    shows: list[Mount] = []
    for source, place in sorted(
        (pair for path in wanted for pair in sights(path)), key=lambda pair: len(pair[1].parts)
    ):
        inside = _below(place, over)
        # A link in a folder that is covered is made again, below. In another's place, what it leads to stands for it.
        if (place == source or inside) and place not in over and seen(place, [*mounts, *shows]) != source:
            shows.append(Mount(source, place, "throwaway" if inside and source.is_dir() else "read"))
    links = dict.fromkeys(pair for path in (*wanted, Path(environ.get("HOME") or "/")) for pair in _links(path))
    found = [*_there(map(Path, SYSTEM_SECRETS)), *_there(one / name for one in homes for name in HOME_SECRETS)]
    # What the user shows by its own name is no secret to him.
    secrets = {*found} - {path.resolve() for path in asked} | {*hidden}
    return Hiding(
        home=homes[0],
        covers=tuple(covers),
        shows=tuple(shows),
        secrets=tuple(sorted(secrets)),
        caches=tuple(_there(homes[0] / name for name in CACHES)),
        links=tuple(
            (target, link) for target, link in links if not _below(link, over) and seen(link, [*mounts, *shows]) is None
        ),
    )


def above(program: Path, home: Path) -> Path:
    """The folder that has to be seen for a program to work: the one above its `bin`, unless that holds much else."""
    folder = program.parent
    mixed = home.is_relative_to(folder.parent) or folder.parent == home / ".local"
    return folder.parent if folder.name in PROGRAM_FOLDERS and not mixed else folder


def _homes(environ: Mapping[str, str]) -> list[Path]:
    """The home that programs are told of, and the user's own, without links."""
    try:
        known = [pwd.getpwuid(os.getuid()).pw_dir]
    except KeyError:  # as in many containers
        known = []
    named = environ.get("HOME") or (known[0] if known else "/")
    return list(dict.fromkeys(Path(home).resolve() for home in (named, *known)))


def _there(paths: Iterable[Path]) -> list[Path]:
    """Those that exist and that we could read: nobody has to be kept from what the system keeps us from."""
    return [path.resolve() for path in paths if os.access(path, os.R_OK)]


def _temporary(environ: Mapping[str, str], covers: Iterable[Path]) -> Iterator[Path]:
    """The folder for temporary files: wherever it is, it can be written."""
    folder = Path(environ.get("TMPDIR") or "")
    real, place = folder.resolve(), folder.parent.resolve() / folder.name
    if folder.is_absolute() and real != Path("/"):
        yield from [real] if real.is_dir() else []
        yield from [place] if _below(place, covers) else []


def _links(path: Path) -> Iterator[tuple[Path, Path]]:
    """The links on the way to a path, each with what it leads to."""
    place = Path("/")
    for part in path.parts[1:]:
        place /= part
        if place.is_symlink():
            yield place.resolve(), place
            place = place.resolve()


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _tools(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Folders of PATH with what belongs to them, and our own interpreter with its packages."""
    for entry in environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(entry):
            yield Path(entry)
            yield above(Path(entry).resolve() / "program", home)
    yield from map(Path, (sys.prefix, sys.base_prefix))
    yield Path(__file__).parents[1]
    if "VIRTUAL_ENV" in environ:
        yield Path(environ["VIRTUAL_ENV"])


def sights(path: Path) -> Iterator[tuple[Path, Path]]:
    """A path as source and place: where it leads to, and where its own name stands."""
    real, place = path.resolve(), path.parent.resolve() / path.name
    yield real, real
    if place != real:
        yield real, place
