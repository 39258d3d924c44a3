"""What the report draws: calibration, histograms, gates."""
