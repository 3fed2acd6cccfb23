"""Everything that is done with git: by plumbing, with nothing of the user's or an agent's configuration in force."""
