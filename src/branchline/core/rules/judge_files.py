"""Files by which test runners, linters and build tools go, known by their names; and what in some of them counts."""

import json
import sys
from collections.abc import Collection, Mapping
from typing import Any

from branchline.core.rules.globs import fold

_NAMES = frozenset(
    {
        *(
            "makefile",
            "gnumakefile",
            "bsdmakefile",
            "justfile",
            ".justfile",
            "taskfile.yml",
            "taskfile.yaml",
            "rakefile",
        ),
        *("cmakelists.txt", "meson.build", "sconstruct", "wscript", "build.xml", "build.sbt", "pom.xml", "mix.exs"),
        *(
            "gruntfile.js",
            "gulpfile.js",
            "turbo.json",
            "nx.json",
            "lerna.json",
            "deno.json",
            "deno.jsonc",
            "bunfig.toml",
        ),
        *(".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", "go.work", "tox.ini", "noxfile.py", "pytest.ini"),
        *(".pytest.ini", "setup.cfg", "setup.py", "conftest.py", "hatch.toml", "pixi.toml", "dodo.py", "fabfile.py"),
        *("sitecustomize.py", "usercustomize.py", "mypy.ini", ".mypy.ini", "ruff.toml", ".ruff.toml", ".flake8"),
        *(".pylintrc", "pylintrc", ".bandit", ".isort.cfg", ".coveragerc", ".pyre_configuration", "pyrightconfig.json"),
        *(".pydocstyle", ".style.yapf", ".python-version", ".tool-versions", "mise.toml", ".mise.toml", ".nvmrc"),
        *(".node-version", ".ruby-version", ".rspec", ".rubocop.yml", ".simplecov", ".standard.yml", ".env"),
        *(".eslintignore", ".prettierignore", ".stylelintignore", ".semgrepignore", ".trivyignore", ".gitleaksignore"),
        *(".gitleaks.toml", ".secrets.baseline", "clippy.toml", ".clippy.toml", "rustfmt.toml", ".rustfmt.toml"),
        *("rust-toolchain", "rust-toolchain.toml", "build.rs", ".clang-tidy", ".clang-format", ".luacheckrc"),
        *(".shellcheckrc", ".credo.exs", "checkstyle.xml", ".swiftlint.yml", ".scalafmt.conf", "gradle.properties"),
        *(".bazelrc", "build", "workspace", "build.bazel", "module.bazel", "jenkinsfile", "lefthook.yml"),
        *(".pre-commit-config.yaml", ".pre-commit-hooks.yaml", ".gitlab-ci.yml", ".travis.yml", "azure-pipelines.yml"),
        *(".dockerignore",),
    }
)
_BEGINNINGS = (
    *("jest.config.", "jest.setup.", "jest.preset.", "vitest.config.", "vitest.setup.", "vitest.workspace.", "vite.config."),
    *("playwright.config.", "cypress.config.", "karma.conf.", "ava.config.", "babel.config.", "eslint.config.", "biome.json"),
    *(".eslintrc", ".mocharc", ".nycrc", ".c8rc", ".babelrc", ".swcrc", ".prettierrc", "prettier.config.", ".stylelintrc"),
    *("stylelint.config.", "tsconfig", "webpack.config.", "rollup.config.", "phpunit.xml", "phpstan.neon", "psalm.xml"),
    *(".golangci.", ".yamllint", ".markdownlint", ".hadolint", ".semgrep", "detekt", "build.gradle", "settings.gradle"),
    *("requirements-test", "requirements-dev", "nx.json", "wdio.conf.", ".taprc", "gulpfile.", "gruntfile."),
)  # fmt: skip
_ENDINGS = (".mk", ".pth", ".runsettings", ".ruleset", ".bats-config")
_FOLDERS = (".github/", ".gitlab/", ".circleci/", ".buildkite/", ".cargo/", ".config/", ".mvn/", ".husky/", ".semgrep/")
_PARTS: dict[str, tuple[str, ...]] = {
    "pyproject.toml": ("tool", "build-system", "project.entry-points", "project.scripts"),
    "cargo.toml": ("lib", "bin", "test", "bench", "lints", "profile", "patch", "workspace", "package.autotests", "package.build"),
    "package.json": (
        *("scripts", "jest", "vitest", "mocha", "ava", "tap", "nyc", "c8", "babel", "eslintConfig", "eslintIgnore"),
        *("prettier", "stylelint", "xo", "standard", "lint-staged", "husky", "overrides", "imports", "type", "workspaces"),
    ),
    "composer.json": ("scripts", "autoload-dev"),
}  # fmt: skip
"""Files of which only some parts say how the gates go."""

RUNNERS = frozenset(
    {
        *(
            "pytest",
            "_pytest",
            "pluggy",
            "iniconfig",
            "packaging",
            "unittest",
            "nose",
            "nose2",
            "mypy",
            "mypyc",
            "ruff",
        ),
        *(
            "tox",
            "nox",
            "coverage",
            "pytest_cov",
            "xdist",
            "hypothesis",
            "pyright",
            "flake8",
            "pylint",
            "black",
            "isort",
        ),
        *("bandit", "pip", "setuptools", "sitecustomize", "usercustomize", "behave", "pytest_asyncio", "trial"),
        *("pre_commit", "prek", "django_test", "pytest_django", "doctest"),
    }
)
_PYTHON = (".py", ".pyc", ".so", ".pyd")
_ROOTS = ("src", "lib", "python", "tests", "test")
_HARMLESS = frozenset({"test", "__main__", "__future__", "this", "antigravity", "idlelib"})
_LARGEST = 1_000_000  # bytes that are parsed


def configures(path: str) -> bool:
    """Whether tools of gates are configured by a file of that name, wherever it lies."""
    folded = fold(path)
    name = folded.rpartition("/")[2]
    known = name in _NAMES or name in _PARTS or name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS)
    return known or folded.startswith(_FOLDERS)


def changed_parts(path: str, old: bytes | None, new: bytes | None) -> str | None:
    """Which parts of a configuration changed, in words, empty if it counts as a whole; None: none by which gates go."""
    parts = _PARTS.get(fold(path).rpartition("/")[2])
    if parts is None:
        return ""
    one, other = (_read(path, content, parts) for content in (old, new))
    if one is None or other is None:
        return "it cannot be read"
    changed = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return ", ".join(changed) if changed else None


def _read(path: str, content: bytes | None, parts: Collection[str]) -> dict[str, str] | None:
    """The parts that count, by name; None if the file cannot be read."""
    if content is None:
        return {}
    if len(content) > _LARGEST:
        return None
    import tomllib  # every command imports this module, few get here

    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text) if fold(path).endswith(".json") else tomllib.loads(text)
        found: dict[str, str] = {}
        for part in parts:
            for name, value in _at(data, part).items():
                found[name] = json.dumps(value, default=repr, sort_keys=True)
    except (ValueError, RecursionError):
        return None
    return found


def _at(data: object, part: str) -> dict[str, Any]:
    """What stands at `part`, by name; the tables of `tool` each have their own."""
    value = data
    for step in part.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if part == "tool" and isinstance(value, Mapping):
        return {f"tool.{name}": table for name, table in value.items() if name != "branchline"}
    return {} if value is None else {part: value}


def hides(path: str, modules: Collection[str], folders: Collection[str], there: Collection[str]) -> str:
    """The module that a new file may hide from a gate; empty if none.

    `modules`: more that gates load, run in `folders`; `there`: the folders of the base, whose packages hide nothing anew.
    """
    folded = fold(path)
    if "node_modules" in folded.split("/"):
        return "node_modules"
    if not folded.endswith(_PYTHON):
        return ""
    tops = ["", *(f"{fold(one)}/" for one in folders)]
    tops += [f"{top}{root}/" for top in tops for root in _ROOTS]
    top = max((one for one in tops if folded.startswith(one)), key=len)
    module, inside, _ = folded[len(top) :].partition("/")
    if inside and path[: len(top) + len(module)] in there:
        return ""
    module = module if inside else module.partition(".")[0]
    is_known = module in RUNNERS or module in modules or module in sys.stdlib_module_names
    return module if is_known and module not in _HARMLESS else ""
