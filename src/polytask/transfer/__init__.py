"""Which tasks belong together: measured gains, what predicts them, groups, capacity, alignment."""
