"""By-products are known by their names."""

import pytest

from branchline.core.rules.by_products import ignore_line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("src/__pycache__/x.cpython-311.pyc", "__pycache__/"),
        ("x.pyc", "*.pyc"),
        ("a/node_modules/b/index.js", "node_modules/"),
        ("lib.egg-info/PKG-INFO", "*.egg-info/"),
        (".coverage.host.12", ".coverage.*"),
        ("docs/.DS_Store", ".DS_Store"),
        ("Main.class", "*.class"),
    ],
)
def test_a_by_product_has_a_line_for_gitignore(path: str, line: str) -> None:
    assert ignore_line(path) == line


@pytest.mark.parametrize(
    "path", ["src/x.py", "node_modules", "__pycache__.md", "pyc", "coverage", "x.pyc.txt", "dist/x.js"]
)
def test_what_people_write_is_none(path: str) -> None:
    assert ignore_line(path) is None
