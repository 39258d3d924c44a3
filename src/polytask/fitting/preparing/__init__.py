"""From a table and options to examples: read, derive, split, encode."""
