"""The error that a user can mend."""


class SymbreakError(Exception):
    """An error that a user can mend; its message says what was expected, what was found and what to do."""
