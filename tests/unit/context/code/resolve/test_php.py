import pytest

from unit.context.code.resolve.tree import links, take

COMPOSER = """{"autoload": {"psr-4": {"App\\\\": ["src/", "more"], "": "fallback"}, "files": [1]},
"autoload-dev": {"psr-4": {"App\\\\Tests\\\\": "tests/", "Bad\\\\": 3}}}"""
TREE = ("src/Http/Client.php", "more/Extra.php", "tests/Fixture.php", "lib/Old/Thing.php", "src/boot.php", "top.php")


@pytest.mark.parametrize(
    ("module", "kind", "target"),
    [
        (r"App\Http\Client", "use", "src/Http/Client.php"),
        (r"\App\Extra", "use", "more/Extra.php"),
        (r"App\Tests\Fixture", "use", "tests/Fixture.php"),
        (r"Vendor\Old\Thing", "use", "lib/Old/Thing.php"),
        (r"Other\Thing", "use", None),
        ("Exception", "use", None),
        ("../boot.php", "require_once", "src/boot.php"),
        ("__DIR__ . '/../boot.php'", "require", "src/boot.php"),
        ('"top.php"', "include", "top.php"),
        ("Old/Thing.php", "include", "lib/Old/Thing.php"),
        ("$file", "include", None),
        ("../../../x.php", "include", None),
        ("", "include", None),
        ("", "use", None),
    ],
)
def test_classes_and_files(module: str, kind: str, target: str | None) -> None:
    files = {**dict.fromkeys(TREE, ()), "src/Http/Handler.php": (take(module, kind=kind),)}
    found = links("php", files, configs={"composer.json": COMPOSER}).get("src/Http/Handler.php", [])
    assert found == ([target] if target else [])


def test_several_names_of_one_namespace() -> None:
    files = {"src/a.php": [take(r"App\Http", "Client", "Server")], "src/Http/Client.php": [], "src/Http/Server.php": []}
    found = links("php", files, configs={"composer.json": COMPOSER})
    assert found == {"src/a.php": ["src/Http/Client.php", "src/Http/Server.php"]}
