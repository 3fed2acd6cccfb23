"""What a file imports, as it is written: patterns of each language; what stands in a string or a comment does not count."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from branchline.context.code.analysis import Import
from branchline.core.rules.linear import compiled

if TYPE_CHECKING:
    from tree_sitter import Node

# A pattern whose last sign, as `;`, may be missing takes in what a search for the sign would go over again from each
# start of such a statement. The readers leave out what does not end.
MOST = 2000
"""Statements of one file that are looked at."""
_NEAR = 40  # bytes to the end of a call
_LOOK_BACK = 4000  # bytes of what may be between `import` and `from "x"`
Match = re.Match[bytes]
Reader = Callable[[Match], Iterable[Import]]

_PYTHON = (
    rb"^[ \t]*(?:from(?=[\s.])[ \t]*+((?:\.[ \t]*+)*+(?:(?!c?import[ \t(\\])[\w.]++)?+)[ \t]*+c?import[ \t]*(\([^)]{0,20000}\)|(?:[^\n#;\\]|\\\r?\n)+)"
    rb"|c?import[ \t]++((?:[^\n#;\\]|\\\r?\n)+))"
)
_JAVASCRIPT = rb"""\b(from|import|require(?:\.resolve)?|jest\.mock|vi\.mock)\s*(\(\s*)?(?:/\*[^*]*\*/\s*)?(["'`])([^"'`\n$]{1,400})\3"""
_CLAUSE = rb"\b(import|export)\b(?!\s*[.(])"
_GO = rb"^import[ \t]*+(?:\(([^()]{0,8000})\)|([^\n(]+))"
_GO_SPEC = r"""["`]([^"`\n]+)["`]"""
_RUST = rb"^[ \t]*(?:pub(?:[ \t]*\([^)\n]*\))?[ \t]+)?(?:(use)\s+([^;]{1,8000});?|(mod|extern[ \t]+crate)[ \t]+((?:r#)?\w++)[^;\n{]*;)"
_RUST_TREE = r"[\w:*#]+(?:\s+as\s+\w+)?|[{},]"
_JVM = rb"^[ \t]*import[ \t]+(static[ \t]+)?([\w.]+\*?)(?:\{([^{}]{0,4000})\})?"
_C = rb'^[ \t]*#[ \t]*(?:include|import|include_next)[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)'
_CSHARP = (
    rb"^[ \t]*(?:global[ \t]+)?using[ \t]+(static[ \t]+)?(?:\w++[ \t]*+=[ \t]*+)?(?:global::)?([\w.]++)[^;\n(=]{0,200};"
)
_RUBY = rb"""^[ \t]*(?:(require|require_relative|load)\b[ \t(]*|(autoload)[ \t(]+:?["']?(\w+)["']?\s*,\s*)["']([^"'\n#]+)["']"""
_PHP = (
    rb"^[ \t]*(?:<\?php[ \t]+)?use[ \t]+((?:function|const)[ \t]+)?([\w\\][^;{}()]{0,4000})(?:\{([^{}]{0,4000})\}\s*)?;?"
    rb"|\b(require_once|require|include_once|include)\b[ \t(]*+([^;\n]{1,400});"
)


def imports(data: bytes, language: str, root: "Node | None" = None) -> tuple[Import, ...]:
    """The imports of a file in the order of the text, each once. `root`: of its syntax tree, if there is one."""
    if language not in _READERS:
        return ()
    found: dict[Import, None] = {}
    read, source, keyword = _READERS[language]
    pattern = compiled(source, re.MULTILINE)
    matches = _in_lines(pattern, data, keyword) if keyword else pattern.finditer(data)
    for match in islice(matches, MOST):
        if root is None or _is_code(root, match):
            found.update(dict.fromkeys(read(match)))
    return tuple(found)


def _in_lines(pattern: re.Pattern[bytes], data: bytes, keyword: bytes) -> Iterator[Match]:
    """The matches of a pattern for whole lines, tried only where its keyword is: most lines are without."""
    end = 0
    while (place := data.find(keyword, end)) >= 0:
        match = pattern.match(data, data.rfind(b"\n", 0, place) + 1)
        end = data.find(b"\n", place) + 1 or len(data)
        if match:
            end = max(end, match.end())
            yield match


def _is_code(root: "Node", match: Match) -> bool:
    """Whether the first word of a match is neither in a string nor in a comment."""
    start = match.end() - len(match[0].lstrip())
    leaf = root.descendant_for_byte_range(start, start + 1)
    kind = leaf.type if leaf is not None else ""
    return not ("string" in kind or "comment" in kind or "heredoc" in kind)


def _text(part: bytes | None) -> str:
    return (part or b"").decode("utf-8", "replace")


def _names(part: str) -> tuple[str, ...]:
    """The names of a list, without their other names: `a, b as c`, `type d`."""
    return tuple(words[0] for item in part.split(",") if (words := item.strip().removeprefix("type ").split()))


def _python(match: Match) -> Iterator[Import]:
    if match[3] is not None:
        names = _names(_text(match[3]).replace("\\", " "))
        yield from (Import(name, (), "import") for name in names if name.replace(".", "").replace("_", "a").isalnum())
        return
    listed = compiled(r"#[^\n]*").sub("", _text(match[2])).replace("\\", " ").strip("() \t\r\n")
    names = tuple(name for name in _names(listed) if name == "*" or name.isidentifier())
    module = "".join(_text(match[1]).split())
    if module and names:
        yield Import(module, names, "from")


def _javascript(match: Match) -> Iterator[Import]:
    module, word = _text(match[4]), _text(match[1])
    if word != "from":
        if match[2] and match.string[match.end() : match.end() + _NEAR].lstrip()[:1] not in (b")", b","):
            return  # a name that is put together
        yield Import(module, (), "import" if word == "import" else "require")
    elif match[2] is None:
        clause = _clause(match.string, match.start())
        if clause:
            names = _bindings(_text(match.string[clause.end() : match.start()]))
            yield Import(module, tuple(names), _text(clause[1]))


def _clause(data: bytes, end: int) -> Match | None:
    """The last `import` or `export` before a place that may go on to there."""
    pattern, place, least = compiled(_CLAUSE), end, max(0, end - _LOOK_BACK)
    while (place := max(data.rfind(word, least, place) for word in (b"import", b"export"))) >= 0:
        if match := pattern.match(data, place):
            return match
    return None


def _bindings(clause: str) -> Iterator[str]:
    """`a, {b as c}` is default and b, `* as d` is *."""
    outer, brace, inner = clause.strip().removeprefix("type ").partition("{")
    for name in _names(outer):
        yield "*" if name == "*" else "default"
    if brace:
        listed = compiled(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL).sub("", inner).partition("}")[0]
        yield from _names(listed.replace("\n", " "))


def _go(match: Match) -> Iterator[Import]:
    lines = compiled(r"//[^\n]*").sub("", _text(match[1] or match[2]))
    yield from (Import(path, (), "import") for path in compiled(_GO_SPEC).findall(lines))


def _rust(match: Match) -> Iterator[Import]:
    if match[3] is not None:
        yield Import(_text(match[4]), (), "mod" if match[3] == b"mod" else "extern crate")
    if match[3] is not None or not match[0].endswith(b";"):
        return
    found: dict[str, list[str]] = {}
    around, prefix = [""], ""
    for part in compiled(_RUST_TREE).findall(compiled(r"//[^\n]*").sub("", _text(match[2]))):
        if part == "{":
            around.append(prefix)
        elif part == "}":
            around = around[:-1] or [""]
        path = around[-1]
        if part not in "{},":
            prefix = path + part.split()[0]
            if not prefix.endswith("::"):
                module, _, name = prefix.removesuffix("::self").rpartition("::")
                found.setdefault(module, []).append(name)
    for module, names in found.items():
        yield from [Import(module, tuple(names), "use")] if module else [Import(name, (), "use") for name in names]


def _jvm(match: Match) -> Iterator[Import]:
    kind, module = "import static" if match[1] else "import", _text(match[2])
    names = tuple(compiled(r"(?:^|,)\s*([\w*]+)").findall(_text(match[3])))
    yield Import(module.rstrip("."), names, kind)


def _php(match: Match) -> Iterator[Import]:
    if match[4]:
        yield Import(_text(match[5]).rstrip().removesuffix(")").strip(), (), _text(match[4]))
    if match[4] or not match[0].endswith(b";"):
        return
    kind = " ".join(("use", *_text(match[1]).split()))
    if match[3] is not None:
        yield Import(_text(match[2]).strip().strip("\\"), _names(_text(match[3])), kind)
    else:
        yield from (Import(name.strip("\\"), (), kind) for name in _names(_text(match[2])))


_READERS: dict[str, tuple[Reader, bytes, bytes]] = {
    **dict.fromkeys(("python", "cython"), (_python, _PYTHON, b"import")),
    **dict.fromkeys(("javascript", "typescript", "tsx", "vue", "svelte"), (_javascript, _JAVASCRIPT, b"")),
    **dict.fromkeys(("java", "kotlin", "scala", "groovy", "swift"), (_jvm, _JVM, b"import")),
    **dict.fromkeys(
        ("c", "cpp", "objc"),
        (lambda match: [Import(_text(match[1] or match[2]), (), "quoted" if match[1] else "angled")], _C, b"#"),
    ),
    "go": (_go, _GO, b"import"),
    "rust": (_rust, _RUST, b""),
    "csharp": (lambda match: [Import(_text(match[2]), (), "using static" if match[1] else "using")], _CSHARP, b"using"),
    "ruby": (
        lambda match: [Import(_text(match[4]), (_text(match[3]),) if match[2] else (), _text(match[1] or match[2]))],
        _RUBY,
        b"",
    ),
    "php": (_php, _PHP, b""),
}
"""How to read a match, the pattern, and a word that each line has that it matches (none: it may match anywhere)."""
