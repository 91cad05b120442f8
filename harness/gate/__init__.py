"""Two sides against each other: did it get slower, or worse, and how sure is that."""
