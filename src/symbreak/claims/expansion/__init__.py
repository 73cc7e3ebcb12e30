"""Evidence for Zhang et al. (arXiv:2409.06402)."""
