"""Values that must reach no log and no ledger, wherever a program has printed them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from branchline.process.output import open_regular

SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
SHORTEST = 8  # characters; what is shorter would be found in innocent words
HIDDEN = "[secret]"
CHUNK = 1 << 20

T = TypeVar("T", bound=msgspec.Struct)


class Secrets:
    """The values of the variables whose names say that they are secret."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {value for name, value in environ.items() if SECRET.search(name) and len(value) >= SHORTEST}
        self._values = sorted(values, key=lambda value: (-len(value), value))

    def text(self, text: str) -> str:
        """A text without them."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text

    def clean(self, result: T) -> T:
        """A struct without them."""
        if not self._values:
            return result
        encoded = msgspec.json.encode(result).decode()
        for value in self._values:
            encoded = encoded.replace(msgspec.json.encode(value).decode()[1:-1], HIDDEN)
        return msgspec.json.decode(encoded, type=type(result))

    def clean_file(self, path: Path) -> None:
        """Overwrite them in a file by as many asterisks, in place: it may be large, and keeps its length."""
        values = [os.fsencode(value) for value in self._values]
        descriptor = open_regular(path, os.O_RDWR) if values else None
        if descriptor is None:
            return
        overlap = max(map(len, values)) - 1
        with os.fdopen(descriptor, "r+b") as file:
            start = 0
            while data := file.read(CHUNK):
                cleaned = data
                for value in values:
                    cleaned = cleaned.replace(value, b"*" * len(value))
                if cleaned != data:
                    file.seek(start)
                    file.write(cleaned)
                if len(data) < CHUNK:
                    return
                start += len(data) - overlap
                file.seek(start)
