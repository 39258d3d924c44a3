"""Tables larger than memory: read in pieces, encoded once, and kept on disk in random order."""
