"""Where the files of a set come from: one kind of source a file."""
