"""What of a run is on disk: the folder, its checkpoints, how it is loaded and resumed."""
