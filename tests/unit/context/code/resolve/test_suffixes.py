import pytest

from unit.context.code.resolve.tree import Named, define, links, take

TREES = {
    "c": "src/a.h src/net/b.h src/net/b.c include/lib/lib.h one/twice.h two/twice.h",
    "csharp": "src/Polly/Retry/Options.cs src/Polly/Utils/Guard.cs docs/Retry/x.md",
    "go": "main.go util.go store/a.go store/a_test.go store/README.md apple/x.go deep/api/v1/y.go api/v1/x.go errors.go",
    "java": "core/main/org/x/App.java core/main/org/x/io/Reader.java core/main/org/x/io/Writer.kt core/test/org/x/T.java",
    "php": "src/Http/Client.php src/boot.php lib/Old/Thing.php top.php",
    "ruby": "lib/side.rb lib/side/api.rb test/helper.rb gems/x/lib/extra.rb app/m/user.rb",
    "rust": "core/src/lib.rs core/src/store.rs core/src/store/disk.rs core/src/net/mod.rs core/src/net/tcp.rs",
}
READER, WRITER = "core/main/org/x/io/Reader.java", "core/main/org/x/io/Writer.kt"


def found(language: str, origin: str, module: str, *names: str, kind: str) -> list[str]:
    files = {**dict.fromkeys(TREES[language].split(), ()), origin: (take(module, *names, kind=kind),)}
    return links(language, files).get(origin, [])


@pytest.mark.parametrize(
    ("origin", "name", "kind", "targets"),
    [
        ("src/x.c", "a.h", "quoted", ["src/a.h"]),
        ("src/net/x.c", "../a.h", "quoted", ["src/a.h"]),
        ("src/x.c", "net/b.h", "quoted", ["src/net/b.c", "src/net/b.h"]),
        ("src/x.c", "b.h", "quoted", ["src/net/b.c", "src/net/b.h"]),
        ("src/x.c", "lib/lib.h", "angled", ["include/lib/lib.h"]),
        ("two/deep/x.c", "twice.h", "quoted", ["two/twice.h"]),
        ("src/x.c", "twice.h", "angled", []),
        ("src/x.c", "vector", "angled", []),
        ("src/x.c", "../../../x.h", "quoted", []),
        ("src/x.c", "", "quoted", []),
    ],
)
def test_an_include_is_a_header_and_the_source_of_its_name(
    origin: str, name: str, kind: str, targets: list[str]
) -> None:
    assert found("c", origin, name, kind=kind) == targets


@pytest.mark.parametrize(
    ("namespace", "targets"),
    [
        ("Polly.Retry", ["src/Polly/Retry/Options.cs"]),
        ("Company.Polly.Utils", ["src/Polly/Utils/Guard.cs"]),
        ("Polly.Utils.Guard", ["src/Polly/Utils/Guard.cs"]),
        ("Other.Utils", []),
        ("System.Text", []),
        ("", []),
    ],
)
def test_a_namespace_is_a_folder_or_a_type(namespace: str, targets: list[str]) -> None:
    assert found("csharp", "test/A.cs", namespace, kind="using") == targets


@pytest.mark.parametrize(
    ("module", "targets"),
    [
        ("example.com/app/store", ["store/a.go"]),
        ("example.com/app/api/v1", ["api/v1/x.go"]),
        ("fmt", []),
        ("errors", []),
        ("example.com/app", []),
    ],
)
def test_a_go_import_is_the_files_of_a_folder_tests_left_out(module: str, targets: list[str]) -> None:
    assert found("go", "main.go", module, kind="import") == targets


@pytest.mark.parametrize(
    ("module", "names", "targets"),
    [
        ("org.x.io.Reader", (), [READER]),
        ("org.x.io", ("Reader", "Writer"), [READER, WRITER]),
        ("org.x.io.Reader.Inner", (), [READER]),
        ("org.x.io.Reader.*", (), [READER]),
        ("org.x.io", (), [READER, WRITER]),
        ("org.x.io._", (), [READER, WRITER]),
        ("org.x.io.*", (), [READER, WRITER]),
        ("org.x.App", (), ["core/main/org/x/App.java"]),
        ("java.util.List", (), []),
        ("java.util.*", (), []),
        ("x", (), []),
        ("*", (), []),
        ("", (), []),
    ],
)
def test_classes_members_and_packages(module: str, names: tuple[str, ...], targets: list[str]) -> None:
    assert found("java", "core/test/org/x/T.java", module, *names, kind="import") == targets


@pytest.mark.parametrize(
    ("module", "kind", "target"),
    [
        (r"App\Http\Client", "use", "src/Http/Client.php"),
        (r"\Vendor\Old\Thing", "use", "lib/Old/Thing.php"),
        (r"Other\Thing", "use", None),
        ("Exception", "use", None),
        ("../boot.php", "require_once", "src/boot.php"),
        ("__DIR__ . '/../boot.php'", "require", "src/boot.php"),
        ('"top.php"', "include", "top.php"),
        ("$file", "include", None),
        ("", "include", None),
        ("", "use", None),
    ],
)
def test_php_classes_and_files(module: str, kind: str, target: str | None) -> None:
    assert found("php", "src/Http/Handler.php", module, kind=kind) == ([target] if target else [])


@pytest.mark.parametrize(
    ("origin", "module", "kind", "target"),
    [
        ("lib/side/web.rb", "api", "require_relative", "lib/side/api.rb"),
        ("lib/side/web.rb", "../side.rb", "require_relative", "lib/side.rb"),
        ("lib/side/web.rb", "../../../x", "require_relative", None),
        ("test/a.rb", "side/api", "require", "lib/side/api.rb"),
        ("test/a.rb", "side", "require", "lib/side.rb"),
        ("lib/side.rb", "side/api", "autoload", "lib/side/api.rb"),
        ("lib/side/web.rb", "helper", "require", None),
        ("test/a.rb", "extra", "require", "gems/x/lib/extra.rb"),
        ("test/a.rb", "m/user", "require", "app/m/user.rb"),
        ("test/a.rb", "./helper", "require", "test/helper.rb"),
        ("test/a.rb", "json", "require", None),
        ("test/a.rb", "", "require", None),
    ],
)
def test_required_files(origin: str, module: str, kind: str, target: str | None) -> None:
    assert found("ruby", origin, module, kind=kind) == ([target] if target else [])


@pytest.mark.parametrize(
    ("origin", "module", "kind", "target"),
    [
        ("core/src/lib.rs", "store", "mod", "core/src/store.rs"),
        ("core/src/lib.rs", "net", "mod", "core/src/net/mod.rs"),
        ("core/src/store.rs", "disk", "mod", "core/src/store/disk.rs"),
        ("core/src/store/disk.rs", "crate::net::tcp", "use", "core/src/net/tcp.rs"),
        ("core/src/lib.rs", "crate::store::disk::Disk", "use", "core/src/store/disk.rs"),
        ("core/src/store/disk.rs", "super::Store", "use", None),
        ("core/src/store/disk.rs", "super::super::net::tcp::Tcp", "use", "core/src/net/tcp.rs"),
        ("core/src/store.rs", "self::disk::Disk", "use", "core/src/store/disk.rs"),
        ("cli/main.rs", "the_core::store::disk::Disk", "use", "core/src/store/disk.rs"),
        ("core/src/lib.rs", "std::io::Read", "use", None),
        ("core/src/lib.rs", "::", "use", None),
        ("core/src/lib.rs", "crate", "use", None),
        ("core/src/lib.rs", "missing", "mod", None),
    ],
)
def test_rust_paths(origin: str, module: str, kind: str, target: str | None) -> None:
    path, _, name = module.rpartition("::")
    names = (name,) if path else ()
    assert found("rust", origin, path or module, *names, kind=kind) == ([target] if target else [])


def test_a_large_folder_is_cut() -> None:
    files = {"a/B.java": [take("p.q.*")], **{f"src/p/q/C{number}.java": [] for number in range(40)}}
    assert len(links("java", files)["a/B.java"]) == 12


def test_only_files_of_the_same_family_count() -> None:
    defined: Named = {"x/y.rb": [define("y")], "x/y.py": [define("y")]}
    assert links("ruby", {"a.rb": [take("x/y", kind="require")]}, defined=defined) == {"a.rb": ["x/y.rb"]}
