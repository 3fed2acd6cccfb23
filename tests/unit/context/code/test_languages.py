"""Languages, categories and vendored files, by their paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.code.languages import category_of, language_of, vendored


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "python"), ("a/b.pyi", "python"), ("a.ts", "typescript"), ("a.d.mts", "typescript"), ("a.tsx", "tsx"),
        ("a.jsx", "javascript"), ("a.cjs", "javascript"), ("a.go", "go"), ("a.rs", "rust"), ("A.java", "java"),
        ("a.c", "c"), ("a.h", "c"), ("a.hpp", "cpp"), ("a.C", "cpp"), ("A.cs", "csharp"), ("a.rb", "ruby"),
        ("a.gemspec", "ruby"), ("a.php", "php"), ("a.kt", "kotlin"), ("build.gradle.kts", "kotlin"), ("a.vue", "vue"),
        ("a.PY", "python"), ("README.md", "markdown"), ("a.rst", "rst"), ("README", "text"), ("x/LICENSE", "text"),
        ("a.yml", "yaml"), ("a.json", "json"), ("package-lock.json", "lock"), ("uv.lock", "lock"), ("go.mod", "gomod"),
        ("Makefile", "make"), ("CMakeLists.txt", "cmake"), ("Dockerfile", "dockerfile"), ("Dockerfile.dev", "dockerfile"),
        ("api.dockerfile", "dockerfile"), ("Rakefile", "ruby"), ("Gemfile", "ruby"), ("requirements.txt", "requirements"),
        ("requirements-dev.txt", "requirements"), ("a.sh", "shell"), ("a.sql", "sql"), ("a.pyx", "cython"),
        ("a.m", "objc"), (".gitignore", ""), ("a.unknown", ""), ("noending", ""), ("", ""), ("py", ""), (".py", ""),
        ("a.", ""), ("a\udcff.py", "python"), ("a\n.go", "go"),
    ],
)  # fmt: skip
def test_by_name(path: str, language: str) -> None:
    assert language_of(path) == language


@pytest.mark.parametrize(
    ("path", "data", "language"),
    [
        ("run", b"#!/usr/bin/env python3\nx", "python"),
        ("run", b"#!/usr/bin/python2.7 -u\n", "python"),
        ("run", b"#!/usr/bin/env -S node --x\n", "javascript"),
        ("run", b"#!/bin/sh\n", "shell"),
        ("run", b"#! /bin/bash -e\n", "shell"),
        ("run", b"#!/usr/bin/ruby", "ruby"),
        ("run", b"#!/usr/bin/awk -f", ""),
        ("run", b"python #!/usr/bin/python", ""),
        ("run.go", b"#!/bin/sh\n", "go"),
        ("a.h", b"int f(void);\n", "c"),
        ("a.h", b"#pragma once\nnamespace a {}\n", "cpp"),
        ("a.h", b"  template<class T> int f();\n", "cpp"),
        ("a.h", b"std::string f();", "cpp"),
        ("a.h", b"/* a class of its own */\nint class_of;\n", "c"),
        ("a.h", b"#import <a.h>\n@interface A\n@end\n", "objc"),
    ],
)
def test_by_content_too(path: str, data: bytes, language: str) -> None:
    assert language_of(path, data) == language


TESTS = """
tests/a.py a/tests/b.py test/a.py test/units/x.py src/test/java/A.java src/androidTest/kotlin/A.kt t/unit/x.py
a/b/test_x.py a/x_test.py conftest.py a/conftest.py tests.py x_test.go a/x.spec.ts a/x.test.tsx a/__tests__/x.js
packages/a/test/x.ts AppTest.java src/main/AppIT.java FooTests.cs Foo.Tests/Bar.cs spec/x_spec.rb a/spec/models/x.rb
x_spec.rb tests/FooTest.php FooTest.php tests/common/mod.rs crates/a/tests/x.rs test/format-test.cc x_test.cc
a/testdata/x.json tests/data.yaml e2e/login.ts a/__mocks__/fs.js src/testFixtures/java/A.java
"""
CODE = """
a.py src/a/b.py numpy/testing/utils.py django/test/client.py src/_pytest/main.py src/pytest_x/plugin.py a/testing.py
src/contest.py a/attest.go latest.ts src/main/java/Testable.java a/protest/x.py Manifest.cs a/spec/openapi.ts
docs/conf.py doc/examples/x.py lib/ansible/plugins/test/core.py inspect.py a/specs.py src/test.py x.sh a.kt UNIT.java
"""


@pytest.mark.parametrize("path", TESTS.split())
def test_tests(path: str) -> None:
    assert category_of(path, language_of(path)) == "tests"


@pytest.mark.parametrize("path", CODE.split())
def test_code(path: str) -> None:
    assert category_of(path, language_of(path)) == "code"


@pytest.mark.parametrize(
    "path", ["README", "docs/a.md", "a.rst", "CHANGES.txt", "src/a.adoc", "docs/test.md", "LICENSE"]
)
def test_documents(path: str) -> None:
    assert category_of(path, language_of(path)) == "docs"


@pytest.mark.parametrize(
    "path", ["a.yaml", "package.json", "uv.lock", "a.css", "a.html", "a.svg", "Makefile", "x", "requirements.txt"]
)
def test_other_files(path: str) -> None:
    assert category_of(path, language_of(path)) == "other"


@pytest.mark.parametrize(
    "path",
    [
        "node_modules/a/b.js", "a/node_modules/b.js", "vendor/a.go", "a/third_party/b.c", "third-party/b.c",
        "pip/_vendor/x.py", "astropy/extern/ply/lex.py", "dist/a.js", "a.min.js", "a/b.bundle.js", "deps/lua/lua.c",
        "build/lib/a.py", "target/debug/build/a.rs", "lib/python3/site-packages/x.py",
    ],
)  # fmt: skip
def test_vendored(path: str) -> None:
    assert vendored(path)


@pytest.mark.parametrize(
    "path",
    ["src/vendors.py", "a/distribution/x.py", "dist.py", "build/x.py", "src/deps/x.py", "external.py", "amin.js"],
)
def test_not_vendored(path: str) -> None:
    assert not vendored(path)


@given(st.text(), st.binary())
def test_any_path_and_content(path: str, data: bytes) -> None:
    language = language_of(path, data)
    assert category_of(path, language) in {"code", "tests", "docs", "other"}
    assert vendored(path) in {True, False}
