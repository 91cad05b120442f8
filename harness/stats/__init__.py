"""Pure functions over numbers: no files, no processes, no clock."""
