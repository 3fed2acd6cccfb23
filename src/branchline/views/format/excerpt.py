"""Untrusted text in a prompt or a report: legible, cut where it is too long, and fenced so that it cannot end early."""

from collections import Counter
from collections.abc import Iterable

from branchline.views.format.text import count, printable

LINES_OF_TREE = 2000


def legible(text: str) -> str:
    """The text, in lines, with what does not print written out."""
    return text if text.replace("\n", "").replace("\t", "").isprintable() else printable(text, "\n\t")


def decoded(data: bytes) -> str:
    """Content as text, whatever bytes it holds."""
    return data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")


def fenced(text: str, language: str = "text") -> str:
    """The text as a Markdown block that nothing in it can close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return "\n".join((fence + language, text.strip("\n"), fence))


def beginning(text: str, characters: int) -> str:
    """The text, or as many whole lines of its beginning as fit, and how much that is of how much."""
    if len(text) <= characters:
        return text
    shown = text[:characters]
    shown = shown.rpartition("\n")[0] or shown
    return f"{shown}\n[cut: the first {len(shown):,} of {len(text):,} characters]"


def end(text: str, characters: int) -> str:
    """The text, or as many whole lines of its end as fit, and how much that is of how much."""
    if len(text) <= characters:
        return text
    shown = text[-characters:]
    shown = shown.partition("\n")[2] or shown
    return f"[cut: the last {len(shown):,} of {len(text):,} characters]\n{shown}"


def diff(patch: bytes, characters: int) -> str:
    """A patch of git's to read, at most so many characters; of a binary file only that it differs."""
    kept, binary = [], False
    for line in patch.split(b"\n"):
        binary = binary and not line.startswith(b"diff --git ")
        if line == b"GIT binary patch":
            binary = True
            kept.append(b"(a binary file)")
        elif not binary:
            kept.append(line)
    return legible(beginning(decoded(b"\n".join(kept)).strip("\n"), characters))


def tree(paths: Iterable[str], lines: int = LINES_OF_TREE) -> list[str]:
    """The paths, sorted; where they are more than `lines`, some folders with their number of files instead: `a/ (7 files)`.

    Folders near the top are opened first, among them those with the fewest entries, as long as there is room.
    """
    # What each folder holds, with the number of files; folders end in `/`, the top one is empty.
    below: dict[str, Counter[str]] = {"": Counter()}
    for path in paths:
        folder = ""
        while cut := path.find("/", len(folder)) + 1:
            below[folder][path[:cut]] += 1
            folder = path[:cut]
            below.setdefault(folder, Counter())
        below[folder][path] += 1
    shown = Counter(below.pop(""))
    for folder in sorted(below, key=lambda name: (name.count("/"), len(below[name]), name)):
        if folder in shown and len(shown) - 1 + len(below[folder]) <= lines:
            del shown[folder]
            shown.update(below[folder])
    listed = sorted(shown)
    told = [f"{name} ({count(shown[name], 'file')})" if name.endswith("/") else name for name in listed[:lines]]
    return [*told, f"[and {len(listed) - lines:,} more]"] if len(listed) > lines else told
