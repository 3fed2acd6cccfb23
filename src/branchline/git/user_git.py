"""What the user's own git says about a repository: how content is stored, filtered and ignored, where objects are.

Agents cannot write the user's configuration, so it is trusted and read as the user's git reads it: system, global,
local and worktree files, with everything that they include. Nothing here comes from an agent's repository.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from branchline.core.refs import HEADS, TAGS, branch_ref
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput
from branchline.git.command import Git, ObjectsGone, as_user, failed, quoted, words
from branchline.git.filters import Filter, Filters, of_checkout
from branchline.git.folders import text_of
from branchline.process.spawn import Captured

# Settings that say how content is stored and compared; none of them starts a program or names a place.
_STORAGE = (
    "core.autocrlf core.eol core.safecrlf core.filemode core.symlinks core.ignorecase core.precomposeunicode"
    " core.checkstat core.trustctime core.checkroundtripencoding core.protecthfs core.protectntfs"
    " core.sharedrepository core.sparsecheckoutcone core.bigfilethreshold core.compression core.loosecompression"
    " extensions.objectformat lfs.fetchinclude lfs.fetchexclude lfs.skipdownloaderrors"
)
_COMMAND = compiled(r"\Afilter\.(.*)\.(?:clean|smudge|process)", re.DOTALL)
_KEYS = ("clean", "smudge", "process", "required")
_PROMISOR = compiled(r"\Aremote\.(?P<name>.*)\.(?P<key>promisor|partialclonefilter)", re.DOTALL)
_FALSE = frozenset({"", "false", "no", "off", "0"})
_DEEPEST = 5  # how far git follows alternates of alternates (object-file.c, link_alt_odb_entries)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_PLAIN_VALUE = compiled(r"[\w./:=-]+")
_PLAIN_PATH = compiled(r'(?![#"])[^\n]+')


@dataclass(frozen=True, slots=True)
class UserGit:
    """The user's git in one checkout, as `read_user_git` found it; what is configured later does not count.

    `storage`: settings that say how content is stored, by full lower-case name. `promisors`: the remotes that hand out
    missing objects later (a partial clone), with the filter that left them out. `sparse`: the patterns of a sparse checkout.
    The four texts are files that the user has beside the configuration; git reads them in the order global, tree, info, and
    the later one wins.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    storage: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    promisors: Mapping[str, str] = field(default_factory=dict)
    lfs_store: Path = Path()
    sparse: str = ""
    global_excludes: str = ""
    info_excludes: str = ""
    global_attributes: str = ""
    info_attributes: str = ""

    def status_of(self, *args: str, stdin: bytes = b"") -> Captured:
        """Run the user's git in the checkout, as the user would; return its exit code and output."""
        return as_user(*args, cwd=self.root, stdin=stdin)

    def call(self, *args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> bytes:
        """Like `status_of`, but raise GitError, in git's words, on an exit code that is not in `ok`."""
        done = self.status_of(*args, stdin=stdin)
        if done.code not in ok:
            raise failed(f"git {args[0]} failed in {self.root}", done)
        return done.stdout


def read_user_git(root: Path, git_dir: Path, common_dir: Path) -> UserGit:
    """Read what the user's git says in the checkout at `root`. Raises GitError, and InvalidInput where another user owns it."""
    plain = UserGit(root, git_dir, common_dir)
    settings = dict[str, str]()
    local = False
    flat = iter(os.fsdecode(plain.call("config", "--list", "--null", "--show-scope")).split("\0")[:-1])
    for scope, setting in zip(flat, flat, strict=True):
        name, equals, value = setting.partition("\n")
        settings[name] = value if equals else "true"
        local = local or scope in {"local", "worktree"}
    if not local:  # git leaves the local files out, without a word, where another user owns the repository
        refused = plain.status_of("rev-parse", "--git-dir")
        if refused.code != 0:
            hint = f"git config --global --add safe.directory {shlex.quote(str(root))}"
            raise InvalidInput(f"your git does not read {root}: {words(refused)}", hint=hint)
    lfs = os.path.expanduser(settings.get("lfs.storage", ""))
    sparse = is_true(settings.get("core.sparsecheckout", ""))
    return replace(
        plain,
        storage={name: value for name, value in settings.items() if name in _STORAGE.split()},
        filters=_filters(settings),
        promisors=_promisors(settings),
        lfs_store=common_dir / (lfs or "lfs"),
        sparse=text_of(git_dir / "info" / "sparse-checkout") if sparse else "",
        global_excludes=_user_file(plain, settings, "core.excludesfile", "ignore"),
        info_excludes=text_of(common_dir / "info" / "exclude"),
        global_attributes=_user_file(plain, settings, "core.attributesfile", "attributes"),
        info_attributes=text_of(common_dir / "info" / "attributes"),
    )


def is_true(value: str) -> bool:
    """Return what git takes a boolean setting to say; one without a value is stored as "true"."""
    return value.lower() not in _FALSE


def _filters(settings: Mapping[str, str]) -> dict[str, Filter]:
    names = dict.fromkeys(match[1] for name in settings if (match := _COMMAND.fullmatch(name)))
    said = {one: [settings.get(f"filter.{one}.{key}", "") for key in _KEYS] for one in names}
    return {one: Filter(clean, smudge, process, is_true(last)) for one, (clean, smudge, process, last) in said.items()}


def _promisors(settings: Mapping[str, str]) -> dict[str, str]:
    """The remotes that promise objects: those marked, and the one of the older way (`extensions.partialClone`)."""
    older = settings.get("extensions.partialclone")
    found = {older: settings.get(f"remote.{older}.partialclonefilter", "")} if older else {}
    for name, value in settings.items():
        match = _PROMISOR.fullmatch(name)
        if match and (match["key"] != "promisor" or is_true(value)):
            found[match["name"]] = settings.get(f"remote.{match['name']}.partialclonefilter", "")
    return found


def _user_file(user: UserGit, settings: Mapping[str, str], name: str, default: str) -> str:
    """The text of a file that a setting names, or of the one that git reads without the setting."""
    if name in settings:  # git itself expands `~user/` and `%(prefix)/`
        named = os.fsdecode(user.call("config", "--type=path", "--get", name, ok=(0, 1)).removesuffix(b"\n"))
        return text_of(user.root / named) if named else ""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return text_of(Path(home) / "git" / default)


def config_text(user: UserGit, *, bare: bool = False, attributes_file: str = "") -> str:
    """Return the configuration of a repository that stores content as the user's does, and knows nothing else of it.

    No remote URL, hook, alias, helper or identity is in it. `attributes_file`: where `user.global_attributes` lies, as
    git will see it. Filters are in it by the user's own commands.
    """
    settings = [("core", "repositoryformatversion", "1"), ("core", "bare", "true" if bare else "false")]
    for name, value in user.storage.items():
        section, _, key = name.partition(".")
        settings.append((section, key, value))
    settings.append(("core", "attributesfile", attributes_file))
    if user.sparse:
        settings.append(("core", "sparsecheckout", "true"))
    for name, one in user.filters.items():
        section = f"filter {quoted(name)}"
        keys = {"clean": one.clean, "smudge": one.smudge, "process": one.process}
        settings += [(section, key, command) for key, command in keys.items() if command]
        settings.append((section, "required", "true" if one.required else "false"))
    for name, left_out in user.promisors.items():
        settings.append((f"remote {quoted(name)}", "promisor", "true"))
        settings.append((f"remote {quoted(name)}", "partialclonefilter", left_out))
    lines, last = [], ""
    for section, key, value in sorted(settings, key=lambda one: one[0]):
        lines += [f"[{section}]\n"] if section != last else []
        lines.append(f"\t{key} = {value if _PLAIN_VALUE.fullmatch(value) else quoted(value)}\n")
        last = section
    return "".join(lines)


def furnish(user: UserGit, git_dir: Path, *, bare: bool = False) -> None:
    """Write into `git_dir`, of a repository of ours or an agent's, how the user's git stores and ignores content.

    Written are `config` and, below `info`, the user's excludes, attributes and sparse patterns. An agent's gets the keys
    of git-crypt too: without them its git could not even compare the files, which it sees in the clear.
    """
    info = git_dir / "info"
    info.mkdir(exist_ok=True)
    shared = info / "user-attributes"  # no name that git reads by itself
    texts = {
        shared: user.global_attributes,
        info / "attributes": user.info_attributes,
        info / "exclude": f"{user.global_excludes}\n{user.info_excludes}",
        info / "sparse-checkout": user.sparse,
    }
    for path, text in ((path, text) for path, text in texts.items() if text):
        path.write_bytes(os.fsencode(text))
    keys = user.git_dir / "git-crypt"
    if not bare and keys.is_dir() and any(name.startswith("git-crypt") for name in user.filters):
        shutil.copytree(keys, git_dir / "git-crypt")
    # relative in a workspace, because it stands at another path inside the sandbox; git goes to the top of the tree
    seen = str(shared) if bare else f".git/info/{shared.name}"
    (git_dir / "config").write_bytes(os.fsencode(config_text(user, bare=bare, attributes_file=seen)))


def quarantine(home: Path, user: UserGit) -> Git:
    """Make in the empty folder `home` a git directory that shares the user's objects and stores content as the user does."""
    (home / "refs").mkdir()
    for shared in ("objects", "shallow"):
        (home / shared).symlink_to(user.common_dir / shared)
    (home / "HEAD").write_text(f"ref: {branch_ref('none')}\n")
    (home / "lfs").symlink_to(user.lfs_store)
    furnish(replace(user, filters={}, promisors={}), home, bare=True)
    places = (user.root, user.git_dir, user.common_dir, home)
    settings = {name: value for name, value in user.storage.items() if name.startswith("lfs.")}
    known = {name: of_checkout(one, user.root) for name, one in user.filters.items()}
    return Git(
        home, filters=Filters(known, user.root, user.git_dir, settings, user.lfs_store, home / "objects", places)
    )


def object_folders(common_dir: Path) -> list[Path]:
    """Return the folders that hold a repository's objects: its own, then what it borrows, each once, as git finds them."""
    return [common_dir.resolve() / "objects", *(folder for folder in borrowed(common_dir) if folder.is_dir())]


def borrowed(common_dir: Path) -> list[Path]:
    """Return the folders that a repository borrows objects from, and that these borrow from, whether or not they exist."""
    own = Path(os.path.realpath(common_dir / "objects"))
    return [folder for folder in dict.fromkeys(_alternates(own, 1)) if folder != own]


def _alternates(objects: Path, depth: int) -> Iterator[Path]:
    def plain(code: re.Match[bytes]) -> bytes:
        return bytes([int(code[1], 8)]) if len(code[1]) == 3 else _ESCAPES.get(code[1], code[1])

    file = objects / "info" / "alternates"
    for line in file.read_bytes().split(b"\n") if depth <= _DEEPEST and file.is_file() else ():
        if line and not line.startswith(b"#"):
            is_quoted = compiled(rb'"(\\.|[^"\\])*"').fullmatch(line)  # git takes such a one as a C string (quote.c)
            named = compiled(rb"\\([0-3][0-7]{2}|.)").sub(plain, line[1:-1]) if is_quoted else line
            folder = Path(os.path.realpath(objects / os.fsdecode(named)))
            yield folder
            yield from _alternates(folder, depth + 1)


def gone(user: UserGit, oids: list[str]) -> ObjectsGone:
    """Return the error that says which objects are missing, where they were to come from, and what helps."""
    what = f"{len(oids)} objects that a run needs are missing from {user.common_dir}, such as {oids[0]}"
    again = f"git -C {shlex.quote(str(user.root))}"
    lenders = borrowed(user.common_dir)
    lost = [str(folder) for folder in lenders if not folder.is_dir()]
    if lost:
        names = user.common_dir / "objects" / "info" / "alternates"
        why = f"it borrows them from {', '.join(lost)}, which is not there"
        return ObjectsGone(f"{what}: {why}", hint=f"put {lost[0]} back, or write where it is now into {names}")
    if user.promisors:
        remote = next(iter(user.promisors))
        why = f"it is a partial clone, and the remote {remote} did not give them"
        return ObjectsGone(f"{what}: {why}", hint=f"{again} fetch {shlex.quote(remote)}")
    if lenders:
        what += f": it borrows from {', '.join(map(str, lenders))}, where objects may have been removed"
    return ObjectsGone(what, hint=f"{again} fsck --connectivity-only")


def make_git_dir(git_dir: Path, head: str, user: UserGit, lenders: Iterable[Path]) -> None:
    """Make the git directory of a work tree at `head`, as the user's git would have it; it borrows from `lenders`."""
    for name in ("objects/info", "objects/pack", HEADS, TAGS, "info", "hooks"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text(f"{head}\n")
    furnish(user, git_dir)
    (git_dir / "objects/info/alternates").write_bytes(alternates_text(lenders))


def alternates_text(folders: Iterable[Path]) -> bytes:
    """Return the content of `objects/info/alternates` that borrows from these folders."""
    lines = (text if _PLAIN_PATH.fullmatch(text := str(folder)) else quoted(text) for folder in folders)
    return b"".join(os.fsencode(f"{line}\n") for line in lines)
