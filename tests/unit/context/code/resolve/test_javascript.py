import json

import pytest

from unit.context.code.resolve.tree import links, take


def found(origin: str, module: str, *others: str, **configs: str) -> list[str]:
    """The files that one import means; configurations are given as `folder__name="..."`, their ending left out."""
    files = {**dict.fromkeys(others, ()), origin: (take(module),)}
    named = {f"{name.replace('__', '/')}.json": text for name, text in configs.items()}
    return links("typescript", files, configs=named).get(origin, [])


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("./b", "src/b.ts"),
        ("./b", "src/b.d.ts"),
        ("./b.js", "src/b.ts"),
        ("./b.js", "src/b.js"),
        ("./b.jsx", "src/b.tsx"),
        ("./b.mjs", "src/b.mts"),
        ("../b", "b/index.tsx"),
        (".", "src/index.ts"),
        ("./b/", "src/b/index.js"),
        ("./b.css", "src/b.css"),
        ("./b.vue", "src/b.vue"),
        ("./b?raw", "src/b.ts"),
        ("./b.service", "src/b.service.ts"),
    ],
)
def test_relative_modules(module: str, target: str) -> None:
    assert found("src/a.ts", module, target) == [target]


@pytest.mark.parametrize("module", ["./c", "../../b", "b", "", ".", "/b", "node:fs"])
def test_what_is_not_there_is_nothing(module: str) -> None:
    assert found("src/a.ts", module, "src/b.ts") == []


TSCONFIG = """// how we build
{
  "compilerOptions": {
    "baseUrl": ".", /* from here */
    "paths": {"@app/*": ["src/app/*", "src/old/*"], "~config": ["src/config.ts"], "http://*": ["x"],},
  },
}"""


def test_paths_of_a_tsconfig_with_comments_and_last_commas() -> None:
    others = ("web/src/app/x.ts", "web/src/old/y.ts", "web/src/config.ts", "web/plain.ts")
    for module, target in zip(("@app/x", "@app/y", "~config", "plain"), others, strict=True):
        assert found("web/src/a.ts", module, *others, web__tsconfig=TSCONFIG) == [target]
    assert found("api/a.ts", "@app/x", *others, web__tsconfig=TSCONFIG) == []


def test_a_tsconfig_above_the_file_counts_too() -> None:
    own, base = '{"extends": "../tsconfig.base.json"}', '{"compilerOptions": {"paths": {"@/*": ["./shared/*"]}}}'
    configs = {"web/tsconfig.json": own, "tsconfig.base.json": base}
    files = {"web/a.ts": [take("@/x")], "shared/x.ts": []}
    assert links("typescript", files, configs=configs) == {"web/a.ts": ["shared/x.ts"]}


def test_habitual_aliases_without_a_configuration() -> None:
    assert found("web/src/pages/a.vue", "@/lib/b", "web/src/lib/b.ts", "src/lib/b.ts") == ["web/src/lib/b.ts"]
    assert found("app/routes/a.ts", "~/lib/b", "app/lib/b.ts") == ["app/lib/b.ts"]


@pytest.mark.parametrize(
    ("package", "module", "target"),
    [
        ({}, "@x/core", "packages/core/src/index.ts"),
        ({}, "@x/core/deep/b", "packages/core/src/deep/b.ts"),
        ({}, "@x/core/other", "packages/core/other.ts"),
    ],
)
def test_packages_of_the_workspace(package: dict[str, object], module: str, target: str) -> None:
    text = json.dumps({"name": "@x/core", **package})
    assert found("apps/web/a.ts", module, target, packages__core__package=text) == [target]


def test_a_name_of_an_index_is_where_it_is_defined() -> None:
    files = {
        "a.ts": [take("./ui", "Button", "Card", "Missing")],
        "ui/index.ts": [take("./button", "Button"), take("./card", "*")],
    }
    defined = {"ui/button.ts": ["Button"], "other/button.ts": ["Button"], "ui/card.ts": ["Card"]}
    assert links("typescript", files, defined=defined)["a.ts"] == ["ui/button.ts", "ui/card.ts", "ui/index.ts"]


BROKEN = [
    "",
    "{",
    "[]",
    "null",
    '{"name": 1, "exports": [[]], "main": {}}',
    '{"compilerOptions": {"paths": [1], "baseUrl": 3}, "extends": 7}',
    '{"compilerOptions": {"paths": {"*": "../../*", "@x": null}, "baseUrl": "../../.."}}',
    "[" * 100_000,
    '"' + '\\"' * 200_000 + "\\",
    "/*" * 200_000,
    "," * 200_000,
    "\ufeff{}",
    "\\ud800",
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_configurations_are_done_without(text: str) -> None:
    configs = {"tsconfig.json": text, "package.json": text}
    files = {"a.ts": [take("./b"), take("@x")], "b.ts": []}
    assert links("typescript", files, configs=configs) == {"a.ts": ["b.ts"]}
