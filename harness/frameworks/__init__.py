"""Where models come from: one module per framework. Imported in the build child only, but for `hub`."""

from harness.frameworks.compat import declare_missing_operators

__all__ = ["declare_missing_operators"]
