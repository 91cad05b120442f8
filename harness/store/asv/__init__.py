"""asv's own result files: the only package that knows their layout."""
