"""Whether what is pinned can be believed, and whether this machine computed the same."""
