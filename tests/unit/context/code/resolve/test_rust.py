import pytest

from unit.context.code.resolve.tree import define, links, take

CARGO = {
    "core/Cargo.toml": '[package]\nname = "the-core"\n',
    "cli/Cargo.toml": '[package]\nname = "cli"\n[lib]\nname = "cli_lib"\npath = "source/lib.rs"\n',
    "Cargo.toml": '[workspace]\nmembers = ["core", "cli"]\n',
}
TREE = (
    "core/src/lib.rs",
    "core/src/store.rs",
    "core/src/store/disk.rs",
    "core/src/net/mod.rs",
    "core/src/net/tcp.rs",
    "core/src/bin/tool.rs",
    "core/tests/all.rs",
    "core/tests/common/mod.rs",
    "cli/source/lib.rs",
    "cli/source/args.rs",
)


def found(origin: str, path: str, kind: str = "use") -> list[str]:
    module, _, name = path.rpartition("::")
    one = take(module, name, kind=kind) if module else take(path, kind=kind)
    files = {**dict.fromkeys(TREE, ()), origin: (one,)}
    return links("rust", files, configs=CARGO).get(origin, [])


@pytest.mark.parametrize(
    ("origin", "module", "target"),
    [
        ("core/src/lib.rs", "store", "core/src/store.rs"),
        ("core/src/lib.rs", "net", "core/src/net/mod.rs"),
        ("core/src/store.rs", "disk", "core/src/store/disk.rs"),
        ("core/src/net/mod.rs", "tcp", "core/src/net/tcp.rs"),
        ("core/tests/all.rs", "common", "core/tests/common/mod.rs"),
    ],
)
def test_a_declared_module_is_a_file(origin: str, module: str, target: str) -> None:
    assert found(origin, module, "mod") == [target]


@pytest.mark.parametrize(
    ("origin", "path", "target"),
    [
        ("core/src/lib.rs", "crate::store::disk::Disk", "core/src/store/disk.rs"),
        ("core/src/store/disk.rs", "crate::net::tcp", "core/src/net/tcp.rs"),
        ("core/src/store/disk.rs", "crate::net::*", "core/src/net/mod.rs"),
        ("core/src/store/disk.rs", "super::Store", "core/src/store.rs"),
        ("core/src/store/disk.rs", "super::super::net::tcp::Tcp", "core/src/net/tcp.rs"),
        ("core/src/store.rs", "self::disk::Disk", "core/src/store/disk.rs"),
        ("core/src/store.rs", "disk::Disk", "core/src/store/disk.rs"),
        ("core/src/net/tcp.rs", "crate::Thing", "core/src/lib.rs"),
        ("core/src/bin/tool.rs", "the_core::store::Store", "core/src/store.rs"),
        ("core/tests/all.rs", "crate::common::check", "core/tests/common/mod.rs"),
        ("core/tests/deep/more.rs", "crate::common::check", "core/tests/common/mod.rs"),
        ("core/tests/all.rs", "the_core::Thing", "core/src/lib.rs"),
        ("core/src/lib.rs", "cli_lib::args::Args", "cli/source/args.rs"),
        ("core/src/net/tcp.rs", "store::Store", "core/src/store.rs"),
    ],
)
def test_a_path_is_the_longest_part_of_it_that_is_a_module(origin: str, path: str, target: str) -> None:
    assert found(origin, path) == [target]


@pytest.mark.parametrize(
    "path", ["std::io::Read", "serde", "super::*", "super::super::super::super::x", "cli::x", "::", "crate"]
)
def test_what_is_elsewhere_or_unclear_is_nothing(path: str) -> None:
    assert found("core/src/store/disk.rs", path) in ([], ["core/src/lib.rs"] if path == "crate" else [])


def test_raw_names_and_external_crates() -> None:
    files = {"core/src/lib.rs": [take("r#type", kind="mod")], "core/src/type.rs": []}
    files["core/src/bin/tool.rs"] = [take("the_core", kind="extern crate"), take("self", kind="extern crate")]
    assert links("rust", files, configs=CARGO) == {
        "core/src/bin/tool.rs": ["core/src/lib.rs"],
        "core/src/lib.rs": ["core/src/type.rs"],
    }


def test_an_implementation_is_no_definition() -> None:
    files = {"core/src/lib.rs": [take("net", "Tcp", kind="use")], "core/src/net/mod.rs": [], "core/src/net/tcp.rs": []}
    defined = {"core/src/net/tcp.rs": [define("Tcp", "struct")], "core/src/net/more.rs": [define("Tcp", "impl")]}
    assert links("rust", files, configs=CARGO, defined=defined) == {"core/src/lib.rs": ["core/src/net/tcp.rs"]}


def test_super_in_an_inner_module_is_the_file_itself() -> None:
    files = {**dict.fromkeys(TREE, ()), "core/src/net/tcp.rs": (take("super", "Tcp", kind="use"),)}
    defined = {path: ["Tcp"] for path in ("core/src/net/tcp.rs", "core/src/net/mod.rs")}
    assert links("rust", files, configs=CARGO, defined=defined) == {}
    assert links("rust", files, configs=CARGO) == {"core/src/net/tcp.rs": ["core/src/net/mod.rs"]}


def test_a_name_that_a_module_passes_on_is_where_it_is_defined() -> None:
    files = {**dict.fromkeys(TREE, ()), "core/src/lib.rs": (take("store::disk", "Disk", kind="use"),)}
    files["cli/source/args.rs"] = (take("the_core", "Disk", "Tcp", kind="use"),)
    defined = {"core/src/store/disk.rs": ["Disk"], "cli/source/lib.rs": ["Disk"], "core/src/net/tcp.rs": ["Tcp"]}
    found = links("rust", files, configs=CARGO, defined=defined)["cli/source/args.rs"]
    assert found == ["core/src/net/tcp.rs", "core/src/store/disk.rs"]


@pytest.mark.parametrize("text", ["", "package = 3", '[package]\nname = ["x"]', "a = " + "[" * 50_000, "\x00", "[lib]"])
def test_broken_manifests_are_done_without(text: str) -> None:
    files = {"src/lib.rs": [take("a", kind="mod")], "src/a.rs": []}
    assert links("rust", files, configs={"Cargo.toml": text}) == {"src/lib.rs": ["src/a.rs"]}
