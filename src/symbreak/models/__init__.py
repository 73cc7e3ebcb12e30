"""Network families, one a file; replicas are a leading axis."""
