"""One column of a table: its values, its numbers, and what was fitted on it as JSON."""
