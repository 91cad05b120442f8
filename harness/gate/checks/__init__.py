"""What needs no clock: graph structure, signatures, outputs on the same data."""
