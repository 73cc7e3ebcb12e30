"""``symbreak probe``: any probe on a user's own model, without a pipeline."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from symbreak.cli_sentences import sentences
from symbreak.errors import SymbreakError
from symbreak.files import write_json
from symbreak.probes.catalogue import NEEDS, PROBES, Probe, find

if TYPE_CHECKING:
    from symbreak.probes.report import Report


class Loss(StrEnum):
    """The losses that probes know."""

    cross_entropy = "cross_entropy"
    mse = "mse"


class Dtype(StrEnum):
    """The types that probes compute in."""

    float32 = "float32"
    float64 = "float64"


@dataclass(frozen=True)
class Request:
    """What is asked for on the command line."""

    probe: Probe
    model: str | None
    weights: tuple[Path, ...]
    data: str | None
    n: int | None
    seed: int
    loss: str
    dtype: str
    options: dict[str, str]
    sweep: Path | None
    unsafe_pickle: bool


def probe(
    name: Annotated[str | None, typer.Argument(help="The probe; --list shows all.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List all probes and what each needs.")] = False,
    model: Annotated[
        str | None, typer.Option(metavar="MODULE:FACTORY", help="FACTORY() returns a torch.nn.Module.")
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help=".safetensors; repeats, in order of time or replica. None: as it is built."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="SET|FILE.npz", help="A prepared set, or a file with x and y as they are.")
    ] = None,
    n: Annotated[int | None, typer.Option(help="The first so many examples; all of them if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.")] = 0,
    loss: Annotated[Loss, typer.Option(help="The loss.")] = Loss.cross_entropy,
    dtype: Annotated[Dtype, typer.Option(help="What model and data are converted to.")] = Dtype.float32,
    options: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the probe; repeats.")
    ] = None,
    sweep: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="The table of a probe that needs one.")] = None,
    unsafe_pickle: Annotated[
        bool, typer.Option("--unsafe-pickle", help="Read weights that are pickles, which can run any code.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="The file to write.")] = None,
) -> None:
    """Measure a model of your own with one probe, and write a JSON file."""
    if listing:
        _list()
        return
    with sentences():
        if name is None or out is None:
            raise SymbreakError("name a probe and a file: symbreak probe NAME ... --out FILE.json, or --list")
        wanted = Request(
            probe=find(name),
            model=model,
            weights=tuple(weights or ()),
            data=data,
            n=n,
            seed=seed,
            loss=loss.value,
            dtype=dtype.value,
            options=_pairs(options or []),
            sweep=sweep,
            unsafe_pickle=unsafe_pickle,
        )
        document = answer(wanted)
        write_json(out, document)
    for warning in document["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"wrote {out}")


def answer(wanted: Request) -> dict[str, Any]:
    """Measure, and return the file's content as JSON values.

    ``options`` are all options of the probe, given or default, and of a model its loss, type and files of weights too.

    Raises:
        SymbreakError: As ``symbreak.probes.own.measure``, or if a file cannot be read.
    """
    from symbreak.probes import own  # torch is imported only by who measures

    own.check(
        wanted.probe,
        module=wanted.model is not None,
        weights=len(wanted.weights),
        data=wanted.data is not None or wanted.n is not None,
        table=wanted.sweep is not None,
    )
    options = own.resolve(wanted.probe, wanted.options)
    report, count = (_of_model if wanted.sweep is None else _of_sweep)(wanted, options)
    if wanted.sweep is None:
        options |= {"loss": wanted.loss, "dtype": wanted.dtype, "weights": [str(path) for path in wanted.weights]}
    return {
        "probe": wanted.probe.name,
        "version": version("symbreak"),
        "model": wanted.model,
        "data": wanted.data if wanted.sweep is None else str(wanted.sweep),
        "n": count,
        "seed": wanted.seed,
        "options": options,
        "results": report.as_json(),
        "warnings": report.warnings,
    }


def _of_model(wanted: Request, options: dict[str, Any]) -> "tuple[Report, int]":
    """Measure a model, and count its examples."""
    import torch

    from symbreak.probes import own, own_inputs

    if wanted.model is None or wanted.data is None:
        raise SymbreakError(f"probe '{wanted.probe.name}' needs --model and --data: give both")
    dtype: torch.dtype = getattr(torch, wanted.dtype)
    data = own_inputs.load_data(wanted.data, wanted.n, dtype)
    module = own_inputs.load_module(wanted.model, wanted.seed, dtype)
    weights = [own_inputs.load_weights(path, unsafe_pickle=wanted.unsafe_pickle) for path in wanted.weights]
    found = own.measure(wanted.probe.name, module, weights, data, seed=wanted.seed, loss=wanted.loss, options=options)
    return found, len(data.x)


def _of_sweep(wanted: Request, options: dict[str, Any]) -> "tuple[Report, int]":
    """Measure a sweep, and count its rows."""
    import pandas as pd

    from symbreak.probes import own

    try:
        table = pd.read_csv(str(wanted.sweep))
    except (OSError, ValueError) as error:
        raise SymbreakError(f"{wanted.sweep} is no CSV file that can be read: {error}") from error
    return own.measure(wanted.probe.name, table=table, seed=wanted.seed, options=options), len(table)


def _pairs(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        option, equals, value = text.partition("=")
        if not (option and equals):
            raise SymbreakError(f"--set takes OPTION=VALUE, found '{text}'")
        if option in found:
            raise SymbreakError(f"--set gives '{option}' twice: once is enough")
        found[option] = value
    return found


def _list() -> None:
    for probe in PROBES.values():
        typer.echo(f"{probe.name:<12} {probe.needs:<11} {probe.about}")
    typer.echo("")
    for kind, words in NEEDS.items():
        typer.echo(f"{kind:<12} {words}")
