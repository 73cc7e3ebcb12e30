"""Train one arm: ``python -m symbreak.training.run --params JSON --code FP --data SET.npz --out A.safetensors``."""

import argparse
from pathlib import Path

import torch

from symbreak.config.specs import ArmSpec
from symbreak.data import prepared, training_set
from symbreak.errors import SymbreakError
from symbreak.models.model import build
from symbreak.provenance.job import job
from symbreak.training import artifact
from symbreak.training.device import prepare
from symbreak.training.engine import train
from symbreak.training.history import diverged
from symbreak.training.observing import observer_modules
from symbreak.training.sources import examples


def main(arguments: list[str] | None = None) -> None:
    """Train the arm that the command line gives and write its run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", required=True, help="the arm, JSON of ArmSpec")
    parser.add_argument("--code", required=True, help="the code fingerprint that the planner saw")
    parser.add_argument("--data", required=True, type=Path, help="the prepared set, .npz")
    parser.add_argument("--out", required=True, type=Path, help="the run to write, .safetensors")
    args = parser.parse_args(arguments)
    run(ArmSpec.model_validate_json(args.params), code=args.code, data=args.data, out=args.out)


def run(spec: ArmSpec, *, code: str, data: Path, out: Path) -> None:
    """Train all seeds of an arm and write the run's files, its manifest last.

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
        entry="symbreak.training.run",
        modules=modules,
        planned=code,
        params=params,
        inputs={"data": data},
        threads=spec.threads,
    ) as record:
        device, dtype = prepare(spec.training.device, spec.threads), getattr(torch, spec.training.dtype)
        drawn = training_set.build(spec.data, prepared.load(data), spec.seeds)
        model = build(spec.model, drawn.in_shape, drawn.classes, dtype)
        sets = examples(drawn, device, dtype)
        label = f"{spec.experiment}/{spec.arm}"
        groups = train(spec.training, model, spec.seeds, *sets, device=device, label=label)
        artifact.write(out, groups, drawn, params)
        record.note(device=device.type, diverged=diverged(groups))


if __name__ == "__main__":
    main()
