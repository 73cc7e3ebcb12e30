"""Evidence for Stoner's talk and Halverson, Maiti & Stoner (arXiv:2008.08601, 2106.00694)."""
