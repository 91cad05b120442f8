"""Pure functions over outputs: fidelity to the reference, and task metrics on labelled data."""
