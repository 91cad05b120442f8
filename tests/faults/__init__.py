"""Bad luck and bad will: what a repository, a file, a child process or a name may do to a run."""
