"""What a person asked to compare -> two sides, planned and built."""
