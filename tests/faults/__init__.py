"""Bad luck and bad intent: nothing that is stored is lost, and nothing that is not true is shown."""
