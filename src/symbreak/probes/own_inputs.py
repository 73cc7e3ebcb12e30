"""A user's own model, weights and data, read from what the command line names."""

import importlib
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from symbreak.config.specs import DataSpec, Set
from symbreak.config.strict import nearest
from symbreak.data import prepared
from symbreak.data.statistics import measure
from symbreak.data.tensors import to_input
from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, State
from symbreak.seeding import derive

SETS: tuple[str, ...] = get_args(Set)


def load_module(name: str, seed: int, dtype: torch.dtype) -> nn.Module:
    """Return what a factory ``MODULE:FACTORY`` builds, in eval mode; MODULE is found from the working folder too.

    Args:
        name: For instance ``nets:resnet`` for ``resnet()`` of ``nets.py``.
        seed: Of torch's random numbers while it is built; the global state is left as it was.
        dtype: To which floating-point parameters and buffers are converted.

    Raises:
        SymbreakError: If there is no such factory, it fails, or it returns anything but a module with parameters.
    """
    factory = _factory(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "model"))
        try:
            module = factory()
        except Exception as error:
            raise SymbreakError(
                f"{name}() failed: {type(error).__name__}: {error}; it is called without arguments"
            ) from error
    if not isinstance(module, nn.Module):
        raise SymbreakError(f"{name}() must return a torch.nn.Module, found {type(module).__name__}")
    if next(module.parameters(), None) is None:
        raise SymbreakError(
            f"{name}() returned a {type(module).__name__} without parameters: there is nothing to probe"
        )
    return module.to(dtype).eval()


def load_weights(path: Path, *, unsafe_pickle: bool = False) -> State:
    """Return a state dictionary from a ``.safetensors`` file, or, only if pickles are allowed, from one of torch's.

    Raises:
        SymbreakError: If the file is not there, is a pickle that is not allowed, or holds anything but named tensors.
    """
    if not path.is_file():
        raise SymbreakError(f"the weights {path} are not there")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise SymbreakError(
                f"{path} is no safetensors file ({error}); write it with safetensors.torch.save_file"
            ) from error
    if not unsafe_pickle:
        raise SymbreakError(
            f"{path} is not a .safetensors file, and a pickle can run any code when it is read: convert it with "
            f"safetensors.torch.save_file, or say --unsafe-pickle if you trust whoever made it"
        )
    return _unpickled(path)


def load_data(name: str, n: int | None, dtype: torch.dtype) -> Data:
    """Return the first ``n`` examples (all if None) of a prepared set's training images, or of an own ``.npz`` file.

    A set is standardised as ``DataSpec``'s defaults say. A file holds ``x`` ``[N, ...]`` and labels ``y`` ``[N]``, and
    is taken as it is, in its order; floating-point ``x`` become ``dtype``, whole numbers stay whole.

    Raises:
        SymbreakError: If there is no such set or file, it does not hold what it should, or it has fewer examples.
    """
    if name in SETS:
        return _of_set(cast(Set, name), n, dtype)
    path = Path(name)
    if path.suffix != ".npz":
        raise SymbreakError(
            f"there is no set '{name}'{nearest(name, list(SETS))}; name one, or a file FILE.npz with x and y"
        )
    x, y = _of_file(path)
    rows = slice(_count(name, len(x), n))
    inputs = torch.from_numpy(np.ascontiguousarray(x[rows]))
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs.to(torch.int64)
    return Data(inputs, torch.from_numpy(y[rows].astype(np.int64)))


def _factory(name: str) -> Callable[[], Any]:
    module_name, _, attribute = name.partition(":")
    if not (module_name and attribute):
        raise SymbreakError(f"the model must be MODULE:FACTORY, for instance nets:resnet, found '{name}'")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SymbreakError(
            f"cannot import {module_name}: {error}; run from its folder, or put it on PYTHONPATH"
        ) from error
    except Exception as error:
        raise SymbreakError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise SymbreakError(f"{module_name} has no function '{attribute}'{nearest(attribute, known)}")
    return cast(Callable[[], Any], factory)


def _unpickled(path: Path) -> State:
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ImportError, AttributeError) as error:
        raise SymbreakError(f"{path} is no file of torch.save ({type(error).__name__}: {error})") from error
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        held = sorted(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise SymbreakError(
            f"{path} must hold a state_dict, name -> tensor, found {held}; save module.state_dict() alone"
        )
    return dict(found)


def _of_set(name: Set, n: int | None, dtype: torch.dtype) -> Data:
    whole = prepared.load(Path("data", f"{name}.npz"))
    rows = slice(_count(name, len(whole.train_images), n))
    images = torch.from_numpy(np.ascontiguousarray(whole.train_images[rows]))
    x = to_input(images, DataSpec(set=name), measure(whole.train_images), dtype)
    return Data(x, torch.from_numpy(whole.train_labels[rows].astype(np.int64)))


def _of_file(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            x, y = archive["x"], archive["y"]
    except (OSError, KeyError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:  # TypeError: a .npy file
        raise SymbreakError(
            f"{path} must be a .npz file with the arrays x and y, no objects in them ({error})"
        ) from error
    if x.dtype.kind not in "fiu" or y.dtype.kind not in "iu" or x.ndim < 2 or y.shape != x.shape[:1]:
        raise SymbreakError(
            f"{path} must hold numbers x [N, ...] and whole labels y [N], found {x.dtype} {list(x.shape)} and "
            f"{y.dtype} {list(y.shape)}"
        )
    return x, y


def _count(name: str, there: int, n: int | None) -> int:
    count = there if n is None else n
    if not 1 <= count <= there:
        raise SymbreakError(f"{name} has {there} examples, asked for were {count}: choose --n from 1 to {there}")
    return count
