"""Where systems and homes keep programs, and where tools keep logins. Names in a home are relative to it."""

from branchline.process.environment import TOOL_HOMES

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix/store", "/nix/var/nix/profiles"),
    *("/gnu/store", "/var/guix/profiles", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/pacman", "/var/lib/texmf"),
    *(
        "/var/lib/ghc",
        "/var/lib/gems",
        "/var/lib/sss/mc",
        "/var/lib/alternatives",
        "/var/cache/fontconfig",
        "/sys/devices/system",
        "/sys/fs/cgroup",
    ),
)
"""Shown of every system. All else of the disk is not, so neither are the sockets that daemons and people keep there."""

SYSTEM_SECRETS = ("/etc/kubernetes", "/etc/rancher", "/etc/sudoers.d", "/etc/wireguard", "/usr/local/var")
"""Not shown even where others may read it."""

WHOLE = ("/usr/", "/opt/", "/nix/", "/gnu/", "/snap/", "/home/linuxbrew/.linuxbrew/")
"""Below these a folder with programs in its `bin` is a tool's."""

TOOLS = (
    *TOOL_HOMES.values(),
    *(".fnm", ".bun", ".deno", ".ghcup", ".opam", ".dotnet", ".juliaup", ".npm-global", ".npm-packages", ".poetry"),
    *(".nix-profile", ".local/bin", ".local/lib", ".local/pipx", ".local/share/pipx", ".local/share/uv/tools"),
    *(
        ".local/share/fnm",
        ".local/share/pnpm",
        ".linuxbrew",
        ".rye",
        ".pixi",
        ".proto",
        ".jdks",
        ".pub-cache",
        "flutter",
        "development/flutter",
    ),
    *("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba"),
    *(".gitconfig", ".config/git/config", ".config/git/ignore", ".config/git/attributes", ".cargo/config.toml"),
)
"""What a home has of programs and their settings."""

CACHES = (
    *(".cache", ".cargo/registry", ".cargo/git", ".npm/_cacache", ".npm/_npx", ".m2/repository"),
    *(".m2/wrapper", ".gradle/caches", ".gradle/wrapper", ".gradle/jdks", ".gradle/native", ".nuget/packages"),
    *(
        ".yarn/berry",
        ".yarn/cache",
        "go/pkg",
        ".ivy2/cache",
        ".sbt/boot",
        ".gem/ruby",
        ".hex/packages",
        ".bundle/cache",
    ),
    *(".cabal/packages", ".konan"),
)
"""Where the tools of a home keep what they have downloaded or built."""

MAY_HOLD_LOGINS = (".gitconfig", ".config/git/config", ".cargo/config.toml")
"""Shown, unless there is a login in them."""

HOME_SECRETS = (
    # keys, and stores of keys and passwords
    *(".ssh", ".gnupg", ".password-store", ".local/share/keyrings", ".local/share/kwalletd", ".pki", ".config/sops"),
    *(".config/op", ".op", ".config/Bitwarden", ".config/Bitwarden CLI", ".config/age", ".age", ".config/1Password"),
    *(".config/keepassxc", ".config/Signal", ".step", ".minisign", ".cache/keyring-*", ".lastpass", ".config/gopass"),
    # clouds and their machines
    *(".aws", ".azure", ".config/gcloud", ".boto", ".gsutil", ".s3cfg", ".oci", ".kube", ".config/doctl", ".fly"),
    *(".config/hcloud", ".config/scw", ".config/linode-cli", ".config/rclone", ".rclone.conf", ".databrickscfg"),
    *(".snowsql", ".snowflake", ".bluemix", ".aliyun", ".tccli", ".config/exoscale", ".cache/gcloud"),
    *(".terraform.d", ".terraformrc", ".pulumi", ".vault-token", ".config/heroku", ".config/netlify", ".vercel"),
    *(".config/vercel", ".local/share/com.vercel.cli", ".config/configstore", ".config/.wrangler", ".wrangler"),
    # forges, registries and package managers
    *(".netrc", "_netrc", ".git-credentials", ".config/git/credentials", ".cache/git/credential", ".config/gh"),
    *(".config/hub", ".config/glab-cli", ".config/tea", ".docker", ".config/containers", ".pypirc", ".config/pip"),
    *(".pip", ".config/pypoetry", ".config/hatch", ".rye/credentials", ".config/uv", ".local/share/uv/credentials"),
    *(".npmrc", ".npm-global/etc", ".npm-packages/etc", ".nvm/versions/node/*/etc", ".volta/tools/image/node/*/etc"),
    *(".yarnrc", ".yarnrc.yml", ".config/pnpm", ".config/yarn", ".bunfig.toml", ".cargo/credentials", ".condarc"),
    *(
        ".cargo/credentials.toml",
        ".gem/credentials",
        ".local/share/gem/credentials",
        ".bundle/config",
        ".hex/hex.config",
    ),
    *(".composer/auth.json", ".config/composer/auth.json", ".m2/settings.xml", ".m2/settings-security.xml"),
    *(".gradle/gradle.properties", ".gradle/init.gradle", ".gradle/init.d", ".gradle/daemon", ".sbt/*/credentials*"),
    *(".sbt/.credentials", ".ivy2/.credentials", ".nuget/NuGet", ".config/NuGet", ".pub-cache/credentials.json"),
    *(".config/dart", ".dotnet/corefx", ".microsoft/usersecrets", ".continuum", ".config/helm", ".config/argocd"),
    *("miniconda3/.condarc", "anaconda3/.condarc", "miniforge3/.condarc", "mambaforge/.condarc"),
    # databases, mail, and what else a program signs in with
    *(".pgpass", ".my.cnf", ".mylogin.cnf", ".mongorc.js", ".mongodb", ".dbshell", ".redisclirc", ".msmtprc"),
    *(".config/msmtp", ".mbsyncrc", ".fetchmailrc", ".davfs2", ".smbcredentials", ".jupyter", ".config/jupyter"),
    *(".local/share/jupyter/runtime", ".ipython", ".kaggle", ".config/wandb", ".config/sentry", ".sentryclirc"),
    *(".cache/huggingface/token", ".cache/huggingface/stored_tokens", ".huggingface", ".config/stripe", ".ngrok2"),
    *(".config/ngrok", ".config/cloudflared", ".cloudflared", ".config/filezilla", ".config/remmina", ".vnc"),
    # coding agents
    *(".claude", ".claude.json", ".codex", ".gemini", ".qwen", ".aider", ".aider.conf.yml", ".pi", ".cursor"),
    *(".config/opencode", ".local/share/opencode", ".config/mini-swe-agent", ".config/goose", ".continue", ".copilot"),
    *(".config/github-copilot", ".codeium", ".config/openai", ".openai", ".anthropic", ".config/anthropic", ".ollama"),
    *(".config/llm", ".config/io.datasette.llm", ".config/Cursor", ".config/Code"),
    *(".amazonq", ".local/share/amazon-q", ".config/amp", ".local/share/amp", ".config/crush", ".local/share/crush"),
    # browsers, mail readers, and what one looked at
    *(
        ".mozilla",
        ".thunderbird",
        ".config/google-chrome",
        ".config/chromium",
        ".config/BraveSoftware",
        ".config/Slack",
    ),
    *(".config/microsoft-edge", ".config/vivaldi", ".config/opera", ".config/discord", ".cache/mozilla"),
    *(".cache/google-chrome", ".cache/chromium", ".cache/BraveSoftware", ".cache/microsoft-edge", ".cache/vivaldi"),
    *(".cache/opera", ".cache/thunderbird", ".cache/evolution", ".cache/tracker3", ".cache/thumbnails"),
    *(".cache/JetBrains", ".cache/claude-cli-nodejs", ".cache/branchline", ".cache/ibus", ".cache/gnome-software"),
    *(".bash_history", ".zsh_history", ".histfile", ".local/share/fish", ".python_history", ".node_repl_history"),
    *(
        ".psql_history",
        ".mysql_history",
        ".sqlite_history",
        ".rediscli_history",
        ".irb_history",
        ".lesshst",
        ".viminfo",
    ),
    *(".wget-hsts", ".local/share/recently-used.xbel", ".local/state/bash", ".zsh_sessions", ".bash_sessions"),
)
"""Hidden in a home even where a folder above them is shown."""

PROGRAM_FOLDERS = frozenset({"bin", "sbin", ".bin", "shims"})
MARKS = ("pyvenv.cfg", "conda-meta", "jmods")
"""A folder with one of these is a tool's: an environment of Python or conda, a Java."""

PROJECTS = (".git", ".hg", ".svn", ".jj", ".env", ".envrc")
"""A folder with one of these is somebody's work."""

PARTS = (
    "lib",
    "lib32",
    "lib64",
    "libexec",
    "share",
    "include",
    "jre",
    "boot",
    "node_modules",
    "store",
    "vendor",
    "Cellar",
)
"""What lies beside the `bin` of a tool that was unpacked somewhere."""
