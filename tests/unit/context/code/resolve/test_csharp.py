import pytest

from unit.context.code.resolve.tree import Named, define, links, take

TREE = ("src/Polly/Retry/Options.cs", "src/Polly.Core/Utils/Guard.cs", "src/Polly.Core/Policy.cs", "docs/Retry/x.md")


@pytest.mark.parametrize(
    ("namespace", "target"),
    [
        ("Polly.Retry", "src/Polly/Retry/Options.cs"),
        ("Polly.Core", "src/Polly.Core/Policy.cs"),
        ("Polly.Core.Utils", "src/Polly.Core/Utils/Guard.cs"),
        ("Polly.Utils", "src/Polly.Core/Utils/Guard.cs"),
        ("Other.Utils", None),
        ("System.Text", None),
        ("Retry.x", None),
        ("", None),
    ],
)
def test_a_namespace_is_the_folder_of_its_name(namespace: str, target: str | None) -> None:
    files = {**dict.fromkeys(TREE, ()), "test/A.cs": (take(namespace, kind="using"),)}
    assert links("csharp", files).get("test/A.cs", []) == ([target] if target else [])


def test_declared_namespaces_and_static_types() -> None:
    files = {"src/App/Main.cs": [take("Deep.Names"), take("App.Colors")], "src/App/Shades.cs": [], "x/y.cs": []}
    defined: Named = {"x/y.cs": [define("Deep.Names", "namespace")], "src/App/Shades.cs": ["Colors"]}
    assert links("csharp", files, defined=defined) == {"src/App/Main.cs": ["src/App/Shades.cs", "x/y.cs"]}


def test_of_a_large_namespace_the_nearest_files_count() -> None:
    names = [f"{folder}/F{number:02}.cs" for folder in ("far", "src/near") for number in range(10)]
    defined = {name: [define("N", "namespace")] for name in names}
    found = links("csharp", {"src/A.cs": [take("N")]}, defined=defined)["src/A.cs"]
    assert len(found) == 12
    assert {name for name in found if name.startswith("src")} == {name for name in names if name.startswith("src")}
