"""The forge of a repository that has none: a request is two files, one for programs and one for people."""

import json
from pathlib import Path

import msgspec

from branchline.errors import BranchlineError
from branchline.forge.base import ChangeRequest
from branchline.views.format.text import encodable


class LocalForge:
    """Writes `pull_request.json` and `pull_request.md` into a folder; they are replaced whole."""

    name = "local"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_request(self, request: ChangeRequest) -> str:
        """Write the request; return the path of its Markdown file. Raises BranchlineError."""
        document = json.dumps(msgspec.to_builtins(request), indent=1, sort_keys=True) + "\n"
        page = self.folder / "pull_request.md"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _replace(self.folder / "pull_request.json", document)
            _replace(page, encodable(f"# {request.title}\n\n{request.body}"))
        except OSError as error:
            raise BranchlineError(f"cannot write the request in {self.folder}: {error.strerror}") from error
        return str(page)


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
