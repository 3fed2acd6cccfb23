import pytest

from branchline.context.selection import ban_of


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "app/.env",
        ".ENV",
        ".env.local",
        ".env.production",
        ".env.example.local",
        ".envrc",
        "certs/server.pem",
        "certs/Server.PEM",
        "server.\uff50em",
        "x.key",
        "x.p12",
        "id_rsa",
        "keys/id_ed25519.pub",
        "secrets.yaml",
        "deploy/secrets.json",
        "client_secret_1.json",
        "credentials",
        "credentials.json",
        "prod.tfstate",
        "prod.tfstate.backup",
        ".npmrc",
        ".ssh/config",
        "home/.ssh/known/hosts",
        "x\n.pem",
        ".git/id_rsa",
    ],
)
def test_secrets_stay_out_even_as_targets(path: str) -> None:
    assert ban_of(path) == ban_of(path, is_target=True) == "secret"


@pytest.mark.parametrize("path", [".git/config", "sub/.git/HEAD", ".Git/config", ".runs/x/logs/run.jsonl"])
def test_the_inner_folders_stay_out_even_as_targets(path: str) -> None:
    assert ban_of(path) == ban_of(path, is_target=True) == "banned"


@pytest.mark.parametrize(
    "path", ["a/__pycache__/x.pyc", "node_modules/x/index.js", ".venv/lib/x.py", "A/Node_Modules/x"]
)
def test_caches_stay_out_unless_they_are_targets(path: str) -> None:
    assert ban_of(path) == "banned"
    assert ban_of(path, is_target=True) == ""


def test_the_users_globs_stay_out_unless_they_are_targets() -> None:
    assert ban_of("docs/a.md", ["src/**", "docs/"]) == "banned"
    assert ban_of("docs/a.md", ["src/**"]) == ""
    assert ban_of("Docs/a.md", ["docs/"]) == ""
    assert ban_of("docs/a.md", ["docs/"], is_target=True) == ""
    assert ban_of("docs/x.pem", ["docs/"], is_target=True) == "secret"


@pytest.mark.parametrize(
    "path",
    [
        "src/secrets.py",
        "src/credentials.ts",
        "credentials/store.go",
        ".env.example",
        ".env.sample",
        ".gitignore",
        ".github/workflows/ci.yml",
        "templates/secret.yaml",
        "environment.py",
        "keys.py",
        "pem.py",
        "docs/.git",
        "",
        "\udcff",
    ],
)
def test_innocent_names_may_be_shown(path: str) -> None:
    assert ban_of(path) == ""
