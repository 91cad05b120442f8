"""The newest stored results against their own past."""
