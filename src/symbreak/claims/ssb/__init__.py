"""Evidence for Fok, An & Wang (arXiv:1710.06096)."""
