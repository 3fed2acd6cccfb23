"""`branchline context`: the files that a task needs, under a budget, and why."""

import gc
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from branchline.cli.options import cache_option, file_type, root_option
from branchline.cli.output import emit, passing, say, show
from branchline.errors import InvalidInput
from branchline.views.context import explanation_lines, manifest_lines, summary
from branchline.views.format.text import plain

if TYPE_CHECKING:
    from branchline.context.broker import Broker
    from branchline.core.model.manifest import Manifest

WIDEST = 120
PATIENCE, PAUSE = 1.0, 0.1  # seconds until there is something to see of indexing, and between two looks
at_least_one = click.IntRange(min=1)
there_type = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("context")
@click.argument("words", nargs=-1, metavar="[TEXT | explain FILE [TEXT]]")
@root_option
@click.option("--input", type=file_type, metavar="FILE", help="Read the task from it; - is stdin.")
@click.option(
    "--task-type",
    type=click.Choice(("edit", "analyze", "plan", "test")),
    default="edit",
    metavar="TYPE",
    help="edit, analyze, plan or test; decides the budget. [default: edit]",
)
@click.option("--keywords", multiple=True, metavar="WORDS", help="Words to look for; repeatable, or with commas.")
@click.option("--target", multiple=True, metavar="FILE", help="A file that is in, whatever it costs; repeatable.")
@click.option("--pin", multiple=True, metavar="GLOB", help="Files that are in if there is room; repeatable.")
@click.option("--ban", multiple=True, metavar="GLOB", help="Files that are never in; repeatable.")
@click.option("--max-tokens", type=at_least_one, metavar="N", help="The budget, instead of the one by TYPE.")
@click.option("--max-files", type=at_least_one, metavar="N", help="At most so many files.")
@click.option("--window", type=at_least_one, metavar="N", help="The agent's own limit in tokens; caps the budget.")
@click.option("--no-tests", is_flag=True, help="Leave tests out.")
@click.option("--no-dependencies", is_flag=True, help="Do not follow imports.")
@click.option("--exact-tokens", is_flag=True, help="Count tokens instead of estimating them.")
@click.option("--config", type=there_type, metavar="FILE", help="[default: `context` of branchline.yaml]")
@cache_option
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "list", "prompt")),
    metavar="FORM",
    help="json, list or prompt. [default: a table]",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--out", type=file_type, metavar="FILE", help="Write it there; as json, without --format.")
def command(*, words: tuple[str, ...], cache: Path | None, out: Path | None, **options: Any) -> None:
    """Choose the files that a task needs, under a budget, and say why.

    The task is TEXT, or is read from --input or from stdin. `context explain FILE` says why a file is in or out; the
    same options and TEXT apply. The index is kept in the repository's git directory and brought up to date by itself.
    """
    form = options.pop("form")
    as_json = options.pop("as_json")
    if as_json and form not in {None, "json"}:
        raise click.UsageError(f"choose one: --json or --format {form}")
    form = form or ("json" if as_json or out is not None else "")
    from branchline.cli.context.request import Options, asked

    request, file = asked(words, Options(**options))
    if file is not None and (out is not None or form not in {"", "json"}):
        raise click.UsageError("explain goes without --out, and with no --format but json")
    from branchline.context.broker import of_folder

    indexing = Indexing()
    gc.disable()  # neither a query nor an analysis makes cycles; looking for them takes a fifth of either
    try:
        broker = of_folder(options["root"], settings=request.settings, cache=cache, on_progress=indexing.hear)
        if file is not None:
            found = broker.explain(request, file)
            emit(found) if form else show(explanation_lines(found, columns=_columns()))
            return
        manifest = broker.manifest(request)
    finally:
        gc.freeze()  # nor does the end of the process
        gc.enable()
        indexing.end()
    data = _bytes(manifest, broker, form) if form else b""
    if not form:
        show(manifest_lines(manifest, columns=_columns()))
    elif out is not None:
        _write(out, data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    sys.stdout.flush()
    say(*(f"warning: {plain(text)}" for text in (*broker.warnings, *manifest.warnings)))
    say(summary(manifest, indexed=indexing.files, elapsed_ms=indexing.elapsed_ms))


class Indexing:
    """Hears how far indexing has come: after a second that is shown. `files` new ones have been indexed."""

    def __init__(self) -> None:
        self.files = self.elapsed_ms = 0
        self._began = time.monotonic()
        self._next = self._began + PATIENCE
        self._is_shown = False

    def hear(self, done: int, total: int) -> None:
        """Take note that so many files are indexed, of so many that were to be."""
        now = time.monotonic()
        self.files, self.elapsed_ms = done, round((now - self._began) * 1000)
        if now >= self._next:
            self._next, self._is_shown = now + PAUSE, True
            passing(f"indexing {done:,} of {total:,} files")

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._is_shown = False
            passing()


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)


def _bytes(manifest: "Manifest", broker: "Broker", form: str) -> bytes:
    if form == "json":
        from branchline.context.manifest import to_bytes

        return to_bytes(manifest)
    from branchline.context.prompt import as_list, as_prompt
    from branchline.process.redaction import Secrets

    secrets = Secrets(os.environ)

    def read(path: str) -> str | None:
        text = broker.read(path)
        return None if text is None else secrets.text(text)

    text = as_list(manifest) if form == "list" else as_prompt(manifest, read)
    return text.encode("utf-8", "backslashreplace")


def _write(out: Path, data: bytes) -> None:
    """Write a file whole or not at all; what is no file, such as /dev/stdout, is written into."""
    from branchline.context.manifest import digest

    try:
        if out.exists() and not out.is_file():
            out.write_bytes(data)
        else:
            target = os.path.realpath(out)  # a link stays one
            aside = f"{target}.{os.getpid()}.tmp"
            try:
                Path(aside).write_bytes(data)
                os.replace(aside, target)
            finally:
                Path(aside).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}", hint="--out FILE") from error
    say(f"wrote {plain(os.fspath(out))}, sha256 {digest(data)}")
