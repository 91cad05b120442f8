"""A gate's report as text: pure functions, one module per reader."""
