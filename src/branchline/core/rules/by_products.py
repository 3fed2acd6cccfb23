"""Files that programs make on the side, known by their names. No batch is about them."""

from fnmatch import fnmatchcase

_FOLDERS = frozenset(
    {
        *("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".eggs"),
        *(".ipynb_checkpoints", "htmlcov", "node_modules", ".nyc_output", ".parcel-cache", ".turbo", ".gradle"),
    }
)
_PATTERNS = (
    *("*.pyc", "*.pyo", ".coverage", ".coverage.*", "*.egg-info", "*.class", "*.o", "*.tsbuildinfo"),
    *(".DS_Store", "Thumbs.db", "*.swp", ".eslintcache"),
)


def ignore_line(path: str) -> str | None:
    """Return the line of a .gitignore that covers a by-product; None if the path does not look like one.

    >>> ignore_line("src/__pycache__/x.cpython-311.pyc")
    '__pycache__/'
    >>> ignore_line("src/x.py")
    """
    *folders, name = path.split("/")
    for folder in folders:
        if folder in _FOLDERS or folder.endswith(".egg-info"):
            return "*.egg-info/" if folder.endswith(".egg-info") else f"{folder}/"
    return next((pattern for pattern in _PATTERNS if fnmatchcase(name, pattern)), None)
