"""Where torch computes, and that it computes the same every time."""

import os
from typing import Literal

import torch

from symbreak.errors import SymbreakError


def prepare(device: Literal["auto", "cpu", "cuda"], threads: int) -> torch.device:
    """Make torch deterministic with a declared number of threads and return the device to train on.

    Raises:
        SymbreakError: If CUDA is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise SymbreakError("'device' is 'cuda', but torch finds no CUDA device here; use 'auto' or 'cpu'")
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms does the same and imports a compiler
    # nothing here reads memory before writing it, and filling it costs a pass over every new tensor
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
