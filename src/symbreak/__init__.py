"""Symmetry breaking in neural networks as an executable, auditable pipeline."""
