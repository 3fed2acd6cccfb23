from unit.context.code.resolve.tree import links, take


def test_an_import_is_the_files_of_a_folder_tests_left_out() -> None:
    files = {
        "main.go": [take("example.com/app/store"), take("example.com/app"), take("fmt"), take("example.com/apple")],
        "store/a.go": [],
        "store/a_test.go": [],
        "store/README.md": [],
        "apple/x.go": [],
        "util.go": [],
    }
    configs = {"go.mod": "// ours\nmodule example.com/app // v1\n\ngo 1.22\n"}
    assert links("go", files, configs=configs) == {"main.go": ["store/a.go", "util.go"]}


def test_the_longest_module_path_and_the_nearest_root_count() -> None:
    files = {"main.go": [take("example.com/app/api/v1")], "api/v1/x.go": [], "nested/v1/y.go": []}
    configs = {"go.mod": "module example.com/app\n", "nested/go.mod": 'module "example.com/app/api"\n'}
    assert links("go", files, configs=configs) == {"main.go": ["nested/v1/y.go"]}
    twice = {"b/main.go": [take("m/x")], "a/x/1.go": [], "b/x/2.go": []}
    assert links("go", twice, configs={"a/go.mod": "module m", "b/go.mod": "module m"}) == {"b/main.go": ["b/x/2.go"]}


def test_a_large_package_is_the_file_of_its_name_and_some_more() -> None:
    files = {"main.go": [take("m/store")], "store/store.go": [], **{f"store/a{number}.go": [] for number in range(30)}}
    found = links("go", files, configs={"go.mod": "module m\n"})["main.go"]
    assert "store/store.go" in found
    assert len(found) == 12


def test_without_a_module_nothing_is_told() -> None:
    assert links("go", {"main.go": [take("m/x")], "x/x.go": []}, configs={"go.mod": "\n\t" * 100_000}) == {}
