"""The libraries whose versions can change a number."""

import platform
from functools import cache
from importlib.metadata import version

LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow", "torch", "safetensors", "matplotlib", "statsmodels", "numba")


@cache
def installed() -> dict[str, str]:
    """Return the versions of Python and of the numerical libraries, without importing any of them."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
