"""A gate's report for its readers: one pure module for each, and `delivery`, which writes them."""
