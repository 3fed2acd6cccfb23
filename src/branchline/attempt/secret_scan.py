"""The look through everything new for secrets, before any of it is an object of the repository."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from branchline.config.settings import Secrets as Wanted
from branchline.config.settings import Settings
from branchline.core.model.agent_spec import FROM_ENV
from branchline.core.rules.globs import matches_any
from branchline.core.rules.linear import compiled
from branchline.core.rules.secret_rules import GUESSED, KNOWN, Finding, findings
from branchline.core.rules.spellings import spellings
from branchline.errors import InvalidInput
from branchline.git.intake import Intake
from branchline.git.objects import Change
from branchline.git.screen import Refused
from branchline.process.redaction import telling

FINGERPRINT = compiled(r"[0-9a-f]{16}")
MOST_BYTES = 1 << 30  # of new content that is looked through at once: minutes
MOST = 5  # findings of one file that are told one by one


def screening(settings: Settings, environ: Mapping[str, str]) -> "Screening | None":
    """What looks through a run's trees; None if `secrets.scan` is off."""
    wanted = settings.secrets
    return Screening(wanted, secret_values(settings, environ)) if wanted.scan else None


def secret_values(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """The values of variables that are secret by their name, or by what the agents' configuration calls them."""
    keys = {spec.key_env for spec in settings.agents}
    keys.update(name for spec in settings.agents for text in spec.env.values() for name in FROM_ENV.findall(text))
    named = {f"{name}_KEY": environ[name] for name in keys if name in environ}
    return telling({**environ, **named})


class Screening:
    """Looks for known values, for the forms of keys, and for random text with a telling name.

    What the base holds already is not new, wherever it goes.
    """

    def __init__(self, wanted: Wanted, values: Sequence[str]) -> None:
        self._known = sorted({form for one in values for form in spellings(one.encode("utf-8", "surrogateescape"))})
        self._globs = [entry for entry in wanted.allow if not FINGERPRINT.fullmatch(entry)]
        self._fingerprints = frozenset(wanted.allow) - frozenset(self._globs)
        self._clean: set[str] = set()  # blobs: gates ask for the same tree again and again

    def __call__(self, intake: Intake) -> list[Refused]:
        """What must not come in, and why."""
        new = ((one.path, one.path.encode("utf-8", "surrogateescape")) for one in intake.incoming if one.status == "A")
        flaws = [
            Refused(path, f"its name holds a secret: {found[0].kind}")
            for path, name in new
            if (found := findings(name, self._known))
        ]
        # What was only moved or copied brings nothing new.
        known, left = {entry.oid for entry in intake.store.entries(intake.base)}, MOST_BYTES
        for group in intake.groups(skip=self._clean | known):
            looked, unread = list[tuple[Change, list[Finding]]](), list[Refused]()
            for change, data in group:
                left -= len(data)
                try:
                    looked.append((change, findings(_within(left, data), self._known)))
                except InvalidInput as error:
                    unread.append(Refused(change.path, error.message))
            told = list(self._new(intake, looked))
            self._clean.update({seen.new_oid for seen, _ in looked} - {seen.new_oid for seen, _ in told})
            flaws += unread
            for change, found in told:
                for one in found[:MOST]:
                    name = "" if one.kind == KNOWN else f" (fingerprint {fingerprint(one.value)})"
                    flaws.append(Refused(change.path, f"a secret: {one.kind}{name}", one.line))
                if len(found) > MOST:
                    flaws.append(Refused(change.path, f"{len(found) - MOST} more secrets"))
        return flaws

    def secrets_of(self, data: bytes) -> list[Finding]:
        """What a text holds that no setting allows, whether or not the base has it too."""
        return [one for one in findings(data, self._known) if self._counts(None, one)]

    def _new(
        self, intake: Intake, looked: Iterable[tuple[Change, list[Finding]]]
    ) -> Iterator[tuple[Change, list[Finding]]]:
        """What is neither allowed nor in the base; to ask what is in the whole base costs its time, so it comes last."""
        counting = ((one, [f for f in found if self._counts(one.path, f)]) for one, found in looked)
        suspects = [(one, found) for one, found in counting if found]
        known = intake.store.standing_in(intake.base, {longest_line(f.value) for _, found in suspects for f in found})
        for one, found in suspects:
            if left := [f for f in found if longest_line(f.value) not in known]:
                yield one, left

    def _counts(self, path: str | None, finding: Finding) -> bool:
        if finding.kind == KNOWN:
            return True
        allowed = path is not None and matches_any(self._globs, path)
        return not allowed and fingerprint(finding.value) not in self._fingerprints


def within(left: int, data: bytes) -> bytes:
    """The data, if as many bytes were left as it has. Raises InvalidInput."""
    if left < 0:
        raise InvalidInput(f"it cannot be looked through for secrets: more than {MOST_BYTES} bytes are new")
    return data


def _within(left: int, data: bytes) -> bytes:
    """The data, unless they are more than what was `left`. Raises InvalidInput."""
    if left < 0:
        raise InvalidInput(f"it cannot be looked through for secrets: more than {MOST_BYTES} bytes are new")
    return data


def fingerprint(value: bytes) -> str:
    """What a finding is called in `secrets.allow`."""
    return hashlib.sha256(value).hexdigest()[:16]


def longest_line(value: bytes) -> bytes:
    """The line of a value by which it is looked for elsewhere: git looks line by line."""
    return max(value.splitlines(), key=len)


def require_none(settings: Settings, environ: Mapping[str, str], texts: Mapping[str, str]) -> None:
    """Raise InvalidInput if a text that the ledger would hold for ever has a secret in it; `texts` by what they are."""
    screen = screening(settings, environ)
    if screen is None:
        return
    for what, text in texts.items():
        for found in screen.secrets_of(text.encode("utf-8", "surrogatepass")):
            if found.kind != GUESSED:
                name = fingerprint(found.value)
                again = "" if found.kind == KNOWN else f", or allow it: secrets: {{allow: [{name}]}}"
                message = f"{what} holds a secret ({found.kind}), which would stand in the run's ledger for ever"
                raise InvalidInput(message, hint=f"name an environment variable in its place{again}")
