"""Accuracy (share of samples) and loss of a residual network after deleting or swapping blocks, and the length of the
paths on which its gradient travels (Veit, Wilber, Belongie 2016, arXiv:1605.06431).

* Deleting block l leaves its shortcut: h -> after(S_l(h)) (section 4.1); swapping exchanges neighbours of the same
  shape (section 4.2).
* A network of n blocks is 2^n paths, binomial(n, k) of them through k branches. The gradient of a path of length k is
  measured by sampling k blocks that let the gradient through their branch only, the others through their shortcut only
  (section 4.3): g_k is the mean over samples and paths of |dL_sample/dx| at the network's input.
* The share of length k is binomial(n, k) g_k / sum_j binomial(n, j) g_j.

Errors: binomial of accuracies, s/sqrt(N) of losses, and of their changes the same of the differences sample by sample.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from symbreak.errors import SymbreakError
from symbreak.probes.blocks import chain
from symbreak.probes.lesion_paths import counts, gradients, lengths
from symbreak.probes.lesion_runs import Plan, Runs, lesions, plan
from symbreak.probes.network import Data, Network
from symbreak.probes.report import Array, Report
from symbreak.probes.scores import mean_error, share_error
from symbreak.probes.usable import check_labelled
from symbreak.seeding import derive
from symbreak.training.losses import LOSSES

NEEDS: Final = "model"


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    blocks: Sequence[str] = (),
    paths: int = 20,
    path_samples: int = 50,
) -> Report:
    """Measure lesions of every set of parameters.

    Args:
        network: One of our ResNets, or a user's module with residual blocks.
        data: Inputs and labels.
        seed: Of the sampled paths, which are the same for all sets.
        loss: ``cross_entropy`` or ``mse``.
        blocks: Submodules of a user's module that are its residual blocks, in the order of their use.
        paths: Sampled for each length (all of them, where there are no more); 0: no gradients of paths. Each costs
            about two passes forward and backward.
        path_samples: So many of the first samples serve for the gradients.

    Returns:
        ``accuracy``, ``loss`` ``[R]``; ``deleted_block`` ``[D]`` (position) and ``deleted_accuracy``, ``deleted_loss``,
        ``deleted_accuracy_change``, ``deleted_loss_change`` ``[R, D]``; ``swapped_block`` ``[W]`` (the first of the
        two) and the same four; ``path_count`` ``[n + 1]`` (share of the paths that have k branches),
        ``path_gradient``, ``path_share`` ``[R, n + 1]``, ``path_length`` ``[R]`` (mean by these shares).

    Raises:
        SymbreakError: If there are no residual blocks, or data, loss or options do not fit.
    """
    check_labelled(network, data, loss)
    if paths < 0 or paths == 1 or path_samples < 2:
        raise SymbreakError(f"expected 'paths' 0 or >= 2 and 'path_samples' >= 2, found {paths} and {path_samples}")
    chains = [chain(network, r, blocks, data.x) for r in range(network.count)]
    work, report = plan(chains[0], data.x), Report()
    _add_runs(report, work, [lesions(links, data, LOSSES[loss], work) for links in chains])
    names = ", ".join(block.name for block in chains[0].blocks)
    if work.shapeless:
        report.warn(f"blocks {list(work.shapeless)} (of {names}) change shapes without a shortcut: not deleted")
    if not all(block.residual for block in chains[0].blocks):
        report.warn(
            "the blocks have no shortcut (a plain network): deleting one passes on its input; there are no paths"
        )
    elif paths:
        chosen = lengths(len(chains[0].blocks), paths, derive(seed, "lesion", "paths"))
        few = Data(data.x[:path_samples], data.y[:path_samples])
        _add_paths(report, [gradients(links, few, LOSSES[loss], chosen) for links in chains])
    return report


def _add_runs(report: Report, work: Plan, runs: Sequence[Runs]) -> None:
    losses, hits = (np.stack([getattr(run, name) for run in runs]) for name in ("losses", "hits"))
    _add_scores(report, "", losses[:, 0], hits[:, 0], ("replica",))
    split = 1 + len(work.deleted)
    for name, places, part in (
        ("deleted", work.deleted, slice(1, split)),
        ("swapped", work.swapped, slice(split, None)),
    ):
        report.add(f"{name}_block", places, unit="position", axes=(name,))
        _add_scores(report, f"{name}_", losses[:, part], hits[:, part], ("replica", name))
        _add_changes(report, f"{name}_", losses[:, part] - losses[:, :1], hits[:, part] - 1.0 * hits[:, :1], name)


def _add_scores(report: Report, prefix: str, losses: Array, hits: Array, axes: Sequence[str]) -> None:
    error = share_error(hits.sum(-1), hits.shape[-1])
    report.add(f"{prefix}accuracy", hits.mean(-1), unit="share of samples", axes=axes, error=error)
    report.add(f"{prefix}loss", losses.mean(-1), unit="loss", axes=axes, error=mean_error(losses))


def _add_changes(report: Report, prefix: str, losses: Array, hits: Array, axis: str) -> None:
    for name, change, unit in (("accuracy", hits, "share of samples"), ("loss", losses, "loss")):
        error = mean_error(change)
        report.add(f"{prefix}{name}_change", change.mean(-1), unit=unit, axes=("replica", axis), error=error)


def _add_paths(report: Report, found: Sequence[tuple[Array, Array]]) -> None:
    values, errors = (np.stack(part) for part in zip(*found, strict=True))
    count = counts(values.shape[1] - 1)
    share, share_errors, mean, mean_errors = weighted(values, errors, count)
    axes = ("replica", "length")
    report.add("path_count", count, unit="share of paths", axes=("length",))
    report.add("path_gradient", values, unit="loss / input", axes=axes, error=errors)
    report.add("path_share", share, unit="share of the gradient", axes=axes, error=share_errors)
    report.add("path_length", mean, unit="branches", axes=("replica",), error=mean_errors)


def weighted(values: Array, errors: Array, count: Array) -> tuple[Array, Array, Array, Array]:
    """Return the shares of the lengths and their mean length, each with its error.

    The errors are those of linear propagation, the lengths' gradients being independent.

    Args:
        values: Gradients ``[R, n + 1]``.
        errors: Theirs.
        count: Share of paths ``[n + 1]``.
    """
    total = (count * values).sum(1, keepdims=True)
    if not (total > 0).all():
        raise SymbreakError("the gradient at the network's input is 0 on every path; probe other samples or weights")
    share, scale, length = count * values / total, count * errors / total, np.arange(len(count))
    spread = np.eye(len(count)) - share[:, :, None]  # d share_k / d (c_j g_j / total)
    mean = share @ length
    mean_errors = np.sqrt((((length - mean[:, None]) * scale) ** 2).sum(1))
    return share, np.sqrt(((spread * scale[:, None, :]) ** 2).sum(2)), mean, mean_errors
