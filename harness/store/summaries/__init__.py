"""Large stores: the columns that most questions read of every row, kept in the cache; each file is read once."""
