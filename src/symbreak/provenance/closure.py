"""The code fingerprint of a job: its import closure, without comments, docstrings and formatting."""

import ast
import hashlib
from functools import cache
from pathlib import Path

from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError

SOURCE = Path(__file__).resolve().parents[2]
# What these modules do cannot change a number in an artifact: they check, watch, name and record. Parameters
# reach a job fully resolved, so a changed default in config is seen as a changed parameter.
SILENT = (
    "symbreak.config",
    "symbreak.errors",
    "symbreak.files",
    "symbreak.machine",
    "symbreak.progress",
    "symbreak.provenance",
)


def closure(entry: str, modules: tuple[str, ...] = (), source: Path = SOURCE) -> dict[str, str]:
    """Fingerprint every module that a job can execute.

    Args:
        entry: The module that the job starts, for instance ``symbreak.training.run``.
        modules: Modules that it imports by name (a model, a probe).
        source: The folder that holds the package.

    Returns:
        The sha256 of each module in the import closure, comments, docstrings and formatting left out; a package's
        has its JSON tables in it.

    Raises:
        SymbreakError: A module of the package that is imported does not exist or does not parse.
    """
    found: dict[str, str] = {}
    queue = [entry, *modules]
    while queue:
        name = queue.pop()
        if name in found or any(name == s or name.startswith(s + ".") for s in SILENT):
            continue
        found[name], imported = _module(_path(name, source), name, source)
        queue += imported
    return dict(sorted(found.items()))


def fingerprint(entry: str, modules: tuple[str, ...] = (), source: Path = SOURCE) -> str:
    """Return one sha256 for the whole closure of a job, 16 hexadecimal digits."""
    text = "\n".join(f"{name} {digest}" for name, digest in closure(entry, modules, source).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _path(name: str, source: Path) -> Path:
    base = source.joinpath(*name.split("."))
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if not path.is_file():
        known = [".".join(p.relative_to(source).with_suffix("").parts) for p in source.rglob("*.py")]
        raise SymbreakError(f"There is no module '{name}' in {source}{nearest(name, known)}.")
    return path


def _module(path: Path, name: str, source: Path) -> tuple[str, list[str]]:
    return _parsed(path, path.stat().st_mtime_ns, path.stat().st_size, name, source)


@cache
def _parsed(path: Path, _modified: int, _size: int, name: str, source: Path) -> tuple[str, list[str]]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise SymbreakError(f"{path} does not parse: {error}") from None
    imported = _imports(tree, name, source)
    for node in ast.walk(tree):
        _drop_docstring(node)
    tables = sorted(path.parent.glob("*.json")) if path.name == "__init__.py" else []
    content = b"".join([ast.dump(tree).encode(), *(table.read_bytes() for table in tables)])
    return hashlib.sha256(content).hexdigest(), imported


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]


def _imports(tree: ast.Module, name: str, source: Path) -> list[str]:
    package = name.split(".")[0]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SymbreakError(
                    f"{name}: relative imports are not followed; import with the full name '{package}.…'."
                )
            names += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = {n for n in names if n == package or n.startswith(package + ".")}
    parents = {n.rsplit(".", i)[0] for n in own for i in range(1, n.count(".") + 1)}
    return sorted(n for n in own | parents if _exists(n, source))


def _exists(name: str, source: Path) -> bool:
    base = source.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()
