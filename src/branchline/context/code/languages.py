"""What a file is, by its path: its language, its category, and whether it is somebody else's code."""

import re
from functools import lru_cache

from branchline.core.model.manifest import Category
from branchline.core.rules.linear import compiled

_CODE = """
python: py pyi pyw; typescript: ts mts cts; tsx: tsx; javascript: js jsx mjs cjs es6; go: go; rust: rs; java: java; c: c
cpp: cc cpp cxx c++ hh hpp hxx h++ ipp inl tcc cu cuh ino; csharp: cs csx; ruby: rb rake gemspec ru podspec
php: php phtml php5; kotlin: kt kts; scala: scala sc sbt; groovy: groovy gradle; swift: swift; vue: vue
svelte: svelte; cython: pyx pxd pxi; objc: m mm; dart: dart; lua: lua; perl: pl pm t; r: r; julia: jl
elixir: ex exs; erlang: erl hrl; clojure: clj cljs cljc; haskell: hs; ocaml: ml mli; fsharp: fs fsx; zig: zig; nim: nim
shell: sh bash zsh ksh fish bats; powershell: ps1 psm1 psd1; batch: bat cmd; tcl: tcl; sql: sql; protobuf: proto
thrift: thrift; graphql: graphql gql; fortran: f f90 f95 for; pascal: pas; vb: vb; solidity: sol; crystal: cr; d: d
assembly: asm s; starlark: bzl star; verilog: v sv; vhdl: vhd; lisp: lisp el scm rkt; coffeescript: coffee; elm: elm
"""
_PROSE = (
    "markdown: md mdx markdown; rst: rst rest; text: txt text; asciidoc: adoc asciidoc; org: org; tex: tex; man: man"
)
_OTHER = """
yaml: yaml yml; json: json jsonc json5 jsonl ipynb geojson map; toml: toml; xml: xml xsd xsl pom csproj props targets resx
html: html htm xhtml; css: css; scss: scss sass; less: less; svg: svg; ini: ini cfg conf properties editorconfig
csv: csv tsv; template: j2 jinja jinja2 erb ejs hbs mustache tmpl tpl; po: po pot; cmake: cmake; make: mk mak
terraform: tf tfvars hcl; nix: nix; diff: diff patch; lock: lock; qml: qml; dot: dot gv; env: env
dockerfile: dockerfile
"""
_NAMES = """
make: makefile gnumakefile; dockerfile: dockerfile containerfile; ruby: rakefile gemfile vagrantfile podfile guardfile
groovy: jenkinsfile; starlark: build workspace; python: sconstruct wscript; cmake: cmakelists.txt; just: justfile
yaml: procfile; toml: pipfile; gomod: go.mod; lock: go.sum package-lock.json pnpm-lock.yaml npm-shrinkwrap.json
text: readme license licence copying changelog changes authors contributing notice news todo install
requirements: requirements.txt constraints.txt; shell: .bashrc .profile
"""


def by_word(table: str) -> dict[str, str]:
    """Each word of a table of `name: word word; ...` to the name that it stands behind."""
    entries = (entry.split(":") for line in table.strip().splitlines() for entry in line.split(";"))
    return {ending: language.strip() for language, endings in entries for ending in endings.split()}


CODE = frozenset(by_word(_CODE).values())
"""Languages that are programs; all but the first dozen without a grammar."""
PROSE = frozenset(by_word(_PROSE).values())
_BY_NAME = by_word(_NAMES)
_BY_ENDING = {**by_word(_OTHER), **by_word(_PROSE), **by_word(_CODE)}

_SHEBANG = compiled(
    rb"\A#![^\n]*?\b(python|node|deno|bun|ts-node|ruby|php|perl|lua|Rscript|(?:ba|z|k|da|fi)?sh)(?![a-z])"
)
_BY_PROGRAM = by_word(
    "python: python; javascript: node; typescript: deno bun ts-node; ruby: ruby; php: php; perl: perl; lua: lua; r: Rscript"
)
_CPP = compiled(
    rb"^[ \t]*(?:template\s*<|namespace\b|class\s+\w+|using\s+\w|(?:public|private|protected)\s*:)|std::", re.MULTILINE
)
_OBJC = compiled(rb"^[ \t]*(?:@interface|@implementation|@protocol|@class|#import)\b", re.MULTILINE)
_PEEK = 65_536  # bytes; what a header is shows early

_TEST_FOLDERS = frozenset({
    "tests", "__tests__", "__mocks__", "__snapshots__", "__fixtures__", "testdata", "test-data", "test-utils", "e2e", "unittests",
})  # fmt: skip
_TEST_PROJECT = compiled(r"(?:^|[._-])(?:tests?|specs|unittests|integrationtests)$")
_TEST_SOURCES = frozenset(
    ["test", "androidtest", "integrationtest", "functionaltest", "testfixtures", "jvmtest", "commontest", "it"]
)
_TEST_NAME = compiled(
    r"^tests?[_-]|^conftest\.|^tests?\.|(?:[._-]tests?|[._]spec|[._]e2e)(?:\.d)?\.[a-z+]+$"
    r"|(?:^|[a-z0-9])(?:Tests?|TestCase|IT|Specs?)\.(?:java|kt|scala|groovy|cs|php|swift|fs|vb)$"
)

_VENDORED = compiled(
    r"(?:^|/)(?:node_modules|bower_components|jspm_packages|vendor|vendored|third[_-]?party|_vendor|_vendored|extern"
    r"|externals|cextern|site-packages|dist|_build|Pods|Carthage|\.yarn|\.next|\.nuxt|\.tox|\.venv|\.eggs|__pycache__"
    r"|build/(?:lib|classes|generated|intermediates)[^/]*|target/(?:debug|release|classes|generated-sources))/"
    r"|^deps/|[.-](?:min|bundle)\.(?:js|mjs|cjs|css)$"
)


def language_of(path: str, data: bytes = b"") -> str:
    """The language of a file: of its grammar if it has one ("python", "csharp", ...), another name, or "" if unknown.

    Its first bytes are looked at for a header that may be C or C++, and for a script without an ending.
    """
    name = path[path.rfind("/") + 1 :]
    language = _BY_NAME.get(name.lower())
    if language is not None:
        return language
    stem, dot, ending = name.rpartition(".")
    if not (dot and stem):
        found = _SHEBANG.match(data, 0, 200)
        return _BY_PROGRAM.get(found[1].decode(), "shell") if found else ""
    if ending == "h":
        start = data[:_PEEK]
        return "objc" if _OBJC.search(start) else "cpp" if _CPP.search(start) else "c"
    if ending in ("C", "H"):
        return "cpp"
    if name.startswith("requirements") and ending in ("txt", "in"):
        return "requirements"
    return "dockerfile" if name.lower().startswith("dockerfile.") else _BY_ENDING.get(ending.lower(), "")


def category_of(path: str, language: str) -> Category:
    """What a file is for. Test data are tests too; a program among documents is code; `testing/` holds library code."""
    folder, _, name = path.rpartition("/")
    if _for_tests(folder.lower(), language) or names_test(name, language):
        return "tests"
    if language in CODE:
        return "code"
    return "docs" if language in PROSE else "other"


def names_test(name: str, language: str) -> bool:
    """Whether a program is called like a test, by the last name of its path. The plain tests of substrings come first: they spare most names the rest."""
    likely = "test" in name or "Test" in name or "spec" in name or "Spec" in name or "IT." in name or "e2e" in name
    return likely and language in CODE and name != "test.py" and _TEST_NAME.search(name) is not None


@lru_cache(maxsize=65_536)
def _for_tests(folder: str, language: str) -> bool:
    """Whether a folder, in lower case, holds tests. `test` deep in a Python tree is a package that helps with tests."""
    parts = folder.split("/")
    for place, part in enumerate(parts):
        if part in _TEST_FOLDERS or (part in _TEST_SOURCES and parts[place - 1 : place] == ["src"]):
            return True
        if part in ("test", "t") and (place == 0 or (part == "test" and language != "python")):
            return True
        if part == "spec" and (language == "ruby" or place == 0):
            return True
        if part != "test" and _TEST_PROJECT.search(part):
            return True
    return False


def vendored(path: str) -> bool:
    """Whether a file was brought in from elsewhere or built: `node_modules/`, `vendor/`, `dist/`, `x.min.js`, ..."""
    return _VENDORED.search(path) is not None
