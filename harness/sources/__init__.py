"""Where models come from: one module per framework. Imported in the build child only, but for `hub`."""
