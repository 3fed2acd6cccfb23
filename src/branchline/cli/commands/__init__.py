"""One file a command, each imported only when it is called; `cli.app.COMMANDS` is their table."""
