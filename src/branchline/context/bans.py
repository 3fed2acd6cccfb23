"""What a manifest never shows, whatever its score: git's folder and ours, secrets, caches, what the user bans.

Targets override caches and the user's globs, because somebody named them; secrets and the inner folders they do not
override, because a plan that an agent wrote may name targets too.
"""

import re
from collections.abc import Iterable
from typing import Literal

from branchline.context.index.scan import CACHES, METADATA
from branchline.core.rules.globs import fold, matches_any

INNER = frozenset({".git", ".runs"})
SECRET_FOLDERS = frozenset({".ssh", ".gnupg"})
SECRET_NAME = re.compile(
    r""" \.env(rc)?
    | \.env\.(?!(example|sample|template|dist)$).*
    | .*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)
    | .*\.tfstate(\..*)?
    | id_(rsa|dsa|ecdsa|ed25519).*
    | secrets\.(ya?ml|json|toml|ini|cfg|conf|properties|xml|txt|env|tfvars)
    | client_secret.*\.json
    | credentials(\.(json|ya?ml|toml|ini|csv|xml|txt|db))?
    | \.(netrc|npmrc|pypirc|pgpass|htpasswd|git-credentials|dockercfg)
    """,
    re.VERBOSE | re.DOTALL,
)
"""Names, in lower case, of files that hold secrets. Source code such as secrets.py is none, nor is .env.example."""

Ban = Literal["", "secret", "banned"]


def ban_of(path: str, globs: Iterable[str] = (), *, is_target: bool = False) -> Ban:
    """Why a path is never shown; empty if it may be. `globs` are the user's; the built-in bans are blind to case."""
    *folders, name = fold(path).split("/")
    if SECRET_NAME.fullmatch(name) or not SECRET_FOLDERS.isdisjoint(folders):
        return "secret"
    if not INNER.isdisjoint(folders):
        return "banned"
    if not is_target and (not (CACHES | METADATA).isdisjoint(folders) or matches_any(globs, path)):
        return "banned"
    return ""
