"""Pages: pure functions from what was read to what a template draws."""
