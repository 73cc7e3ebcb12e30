"""Per-step observables recorded inside the training step, one a file."""
