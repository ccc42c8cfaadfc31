"""Commands of the command line: each action executes one and returns its exit status."""
