"""Train one arm: ``python -m symbreak.training.run --params JSON --code FP --data SET.npz --out A.safetensors``."""

import argparse
from pathlib import Path
from typing import Any

import torch

from symbreak.config.specs import ArmSpec
from symbreak.data import prepared, training_set
from symbreak.errors import SymbreakError
from symbreak.files import sha256
from symbreak.models.model import build
from symbreak.provenance.closure import fingerprint
from symbreak.provenance.job import job
from symbreak.provenance.versions import installed
from symbreak.training import artifact
from symbreak.training.checkpoint import SECONDS, Folder
from symbreak.training.device import prepare
from symbreak.training.engine import train
from symbreak.training.history import diverged
from symbreak.training.observing import observer_modules
from symbreak.training.sources import examples

ENTRY = "symbreak.training.run"


def main(arguments: list[str] | None = None) -> None:
    """Train the arm that the command line gives and write its run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True, help="the arm, JSON of ArmSpec")
    parser.add_argument("--code", required=True, help="the code fingerprint that the planner saw")
    parser.add_argument("--data", required=True, type=Path, help="the prepared set, .npz")
    parser.add_argument("--out", required=True, type=Path, help="the run to write, .safetensors")
    text = (
        "seconds between the snapshots that a killed run resumes from (default: %(default)g); no number depends on it"
    )
    parser.add_argument("--checkpoint-seconds", type=float, default=SECONDS, help=text)
    args = parser.parse_args(arguments)
    spec = ArmSpec.model_validate_json(args.params)
    run(spec, code=args.code, data=args.data, out=args.out, seconds=args.checkpoint_seconds)


def run(spec: ArmSpec, *, code: str, data: Path, out: Path, seconds: float = SECONDS) -> None:
    """Train all seeds of an arm and write the run's files, its manifest last.

    While it trains, snapshots are kept every ``seconds`` in ``<out>.resume``; a run that was killed goes on from the
    last one and ends with the same bytes.

    Raises:
        SymbreakError: If the arm has nothing to train.
    """
    if spec.data is None or spec.model is None or spec.training is None:
        raise SymbreakError(
            f"arm '{spec.experiment}/{spec.arm}' has no 'training', so there is no run to make; give one"
        )
    modules = (f"symbreak.models.{spec.model.family}", *observer_modules(spec.training))
    params = spec.model_dump(mode="json")
    with job(
        artifact=out,
        kind="run",
        entry=ENTRY,
        modules=modules,
        planned=code,
        params=params,
        inputs={"data": data},
        threads=spec.threads,
    ) as record:
        device, dtype = prepare(spec.training.device, spec.threads), getattr(torch, spec.training.dtype)
        drawn = training_set.build(spec.data, prepared.load(data), spec.seeds)
        model = build(spec.model, drawn.in_shape, drawn.classes, dtype)
        sets = examples(drawn, device, dtype, compiled=model.stack is not None)
        label = f"{spec.experiment}/{spec.arm}"
        with Folder(out.with_suffix(".resume"), identity(spec, modules, data, device), seconds) as keep:
            groups = train(spec.training, model, spec.seeds, *sets, device=device, label=label, keep=keep)
            artifact.write(out, groups, drawn, params)
        record.note(device=device.type, diverged=diverged(groups))
    keep.remove()


def identity(spec: ArmSpec, modules: tuple[str, ...], data: Path, device: torch.device) -> dict[str, Any]:
    """Return what a training must share with the one whose snapshot it resumes from.

    Another kind of processor takes other vector instructions and so rounds elsewhere: what two of them trained
    together would equal the work of neither.
    """
    capabilities = torch.cpu.get_capabilities().items()
    processor = {name: value for name, value in capabilities if not name.startswith("num_")}
    return {
        "parameters": spec.model_dump(mode="json"),
        "code": fingerprint(ENTRY, modules),
        "data": sha256(data),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
        "versions": installed(),
    }


if __name__ == "__main__":
    main()
