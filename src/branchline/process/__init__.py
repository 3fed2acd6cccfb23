"""The only place that starts a process: run one, end one with everything it started, choose what it may see."""
