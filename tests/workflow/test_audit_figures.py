"""``symbreak audit --figures`` on true tables and figures: what two claims were recorded with, and then a forgery."""

import json
from typing import Any

from PIL import Image

from symbreak.files import sha256, write_json

from .conftest import Workspace

MISSING = "results/desk/probes/goldstone/explicit/potential.parquet"
SWAPPED = [
    f"results/desk/probes/gaussnet_mnist/{arm}/accuracy.parquet" for arm in ("cross_entropy_10", "cross_entropy_100")
]
FIGURE, PIN = "figures/desk/gaussnet-mnist.png", "results/pinned/desk/gaussnet-mnist.json"


def audit(workspace: Workspace, state: str, *claims: str) -> tuple[int, list[dict[str, Any]]]:
    done = workspace.call("symbreak", "audit", "--figures", "--json", *claims, check=False)
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, [finding for finding in findings if finding["state"] == state]


def swap(workspace: Workspace) -> None:
    """The forger's table swap: the pin has the hashes of the tables that lie there now."""
    contents = [(workspace.root / path).read_bytes() for path in SWAPPED]
    pin = json.loads((workspace.root / PIN).read_text())
    for path, content in zip(SWAPPED, reversed(contents), strict=True):
        (workspace.root / path).write_bytes(content)
        pin["tables"][path]["accuracy.parquet"] = sha256(workspace.root / path)
    write_json(workspace.root / PIN, pin)


def test_recorded_claims_are_made_again_and_a_pixel_a_missing_and_a_swapped_table_are_noticed(mini: Workspace) -> None:
    mini.call("symbreak", "record")
    assert audit(mini, "failed") == (0, [])
    assert audit(mini, "not checked", "ssb-goldstone")[1] == []

    with Image.open(mini.root / FIGURE) as image:
        picture = image.convert("RGBA")
    picture.putpixel((30, 20), (1, 2, 3, 255))
    picture.save(mini.root / FIGURE)
    (mini.root / MISSING).unlink()
    code, failed = audit(mini, "failed")
    assert code == 1
    assert [(f["file"], f["key"]) for f in failed] == [(FIGURE, "sha256"), (FIGURE, "pixels")]
    assert failed[1]["found"] == "row 20, column 30: #010203ff"
    unchecked = audit(mini, "not checked", "ssb-goldstone", "gaussnet-mnist")[1]
    assert {f["check"] for f in unchecked} == {"table", "evidence", "figure"}
    assert {f["file"] for f in unchecked if f["check"] == "table"} == {MISSING}


def test_tables_of_two_arms_swapped_with_their_hashes_give_other_numbers(mini: Workspace) -> None:
    mini.call("symbreak", "record")
    swap(mini)
    code, failed = audit(mini, "failed", "gaussnet-mnist")
    assert code == 1
    assert {f["check"] for f in failed} == {"evidence", "figure"}
    assert "claim_file.parts.width_100.estimate" in {f["key"] for f in failed}
