"""How good the trained models are, and what sharing gained."""
