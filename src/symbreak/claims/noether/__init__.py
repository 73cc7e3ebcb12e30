"""Evidence for Tanaka & Kunin (arXiv:2105.02716) and Kunin et al. (arXiv:2012.04728)."""
