"""The data job: gather a set's files, verify them, write ``data/SET.npz``.

    python -m symbreak.data.run --set mnist --params '{"set": "mnist", "mirror": null}' --code FP --out data/mnist.npz

The log has one line a source tried.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, get_args

from symbreak.config.specs import Set
from symbreak.data.catalogue import files
from symbreak.data.collect import collect, sources
from symbreak.data.formats import prepare
from symbreak.data.prepared import save
from symbreak.data.workspace import workspace
from symbreak.errors import SymbreakError
from symbreak.files import atomic
from symbreak.provenance.job import job


def main() -> None:
    """Run the job; an error that a user can mend ends it as one message, without a traceback."""
    args = _parser().parse_args()
    try:
        run(args.set, args.params, args.code, args.out)
    except SymbreakError as error:
        sys.exit(f"error: {error}")


def run(name: Set, params: dict[str, Any], code: str, out: Path) -> None:
    """Prepare the set ``name`` as ``out`` with its manifest; downloads and quarantine lie beside it.

    ``params`` is ``{"set": name, "mirror": path or None}``; SYMBREAK_DATA_MIRROR in the environment beats its mirror.

    Raises:
        SymbreakError: If no source has the published files, or ``params`` is another set's.
    """
    if params["set"] != name:
        raise SymbreakError(f"--set is {name}, but --params has the set {params['set']}; give the same one twice")
    wanted = files(name)
    mirror = os.environ.get("SYMBREAK_DATA_MIRROR") or params["mirror"]
    with job(
        artifact=out,
        kind="data",
        entry="symbreak.data.run",
        modules=(),
        planned=code,
        params=params,
        inputs={},
        threads=1,
    ) as record:
        with workspace(out.parent, name) as work:
            found = collect(name, wanted, sources(name, Path(mirror) if mirror else None), work)
        with atomic(out) as temporary:
            save(temporary, prepare({file: taken.content for file, taken in found.items()}))
        record.note(sources={f: {"source": found[f].source, "sha256": wanted[f].sha256} for f in wanted})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", required=True, choices=get_args(Set))
    parser.add_argument("--params", type=json.loads, required=True)
    parser.add_argument("--code", required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser


if __name__ == "__main__":
    main()
