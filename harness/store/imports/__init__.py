"""Results of other tools, machines and clones."""
