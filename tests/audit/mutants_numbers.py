"""Mutants of numbers, verdicts and units of a pin."""

from typing import Any

from .forging import edited, rebuilt, scaled, sealed, text_of, value
from .mutants import Mutant
from .mutations import PIN

FIT, NEAR = ("claim_file", "parts", "fit"), ("claim_file", "parts", "near")
UNITS = (*FIT, "units")
LOCK = ("dvc.lock", "dvc.lock")
BESIDE = (("artifact", "manifest.json"), ("dvc.lock", "json"), ("dvc.lock", "manifest.json"))
CLAIM = "results/desk/claims/ssb-random-labels"
EARLIER = ("earlier pin", PIN)


def derived(name: str, changed: str, *steps: str | int, to: Any) -> Mutant:
    """Make a mutant whose hashes all follow, so that only the number made again is left."""
    key = ".".join(map(str, steps))
    return Mutant(name, f"{changed}, sealed", sealed(value(*steps, to=to)), "recomputed", PIN, key)


def twice(content: Any) -> None:
    content["claim_file"]["parts"]["fit"]["units"][1]["unit"] = "seed 1000"


def swapped(content: Any) -> None:
    units = content["claim_file"]["parts"]["fit"]["units"]
    units[0]["unit"], units[1]["unit"] = units[1]["unit"], units[0]["unit"]


def better(content: Any) -> None:
    content["claim_file"]["parts"]["fit"]["units"][2] |= {"value": 0.9718, "count": 9718}


def best(content: Any) -> None:
    for unit in content["claim_file"]["parts"]["fit"]["units"]:
        unit |= {"value": 0.9918, "count": 9918}


def dropped(content: Any) -> None:
    del content["claim_file"]["parts"]["fit"]["units"][0]


def blocks(content: Any) -> None:
    part = content["claim_file"]["parts"]["fit"]
    part["units"], part["control"]["units"] = part["control"]["units"], part["units"]


def uncontrolled(content: Any) -> None:
    del content["claim_file"]["parts"]["fit"]["control"]


def missing(content: Any) -> None:
    del content["claim_file"]["parts"]["fit"]["margin"]


def noted(content: Any) -> None:
    content["claim_file"]["parts"]["fit"]["note"] = "x"


def nothing_diverged(content: Any) -> None:
    content["runs"]["results/desk/runs/toy/random.safetensors"]["diverged"] = [{"seed": 1003, "step": 7}]


NUMBERS = (
    derived("estimate", "an estimate", *FIT, "estimate", to=0.98),
    derived("low end", "the lower end of an interval", *FIT, "low", to=0.95),
    derived("high end", "the upper end of an interval", *NEAR, "high", to=0.9711),
    derived("margin", "a part's margin", *FIT, "margin", to=0.5),
    derived("claim's margin", "the margin that decides", "claim_file", "margin", to=0.5),
    derived("n", "how many units there were", *FIT, "n", to=50),
    derived("power", "a part's power", *FIT, "power", to=0.5),
    derived("underpowered", "a flag", *FIT, "underpowered", to=True),
    derived("level", "the level of an interval", *FIT, "level", to=0.95),
    derived("control shown", "a control that is shown is said not to be", *FIT, "control", "shown", to=False),
    derived("verdict of a claim", "`supported` to `refuted`", "claim_file", "verdict", to="refuted"),
    derived("verdict of a target", "`supported` to `refuted`", "claim_file", "targets", "C2", to="refuted"),
    derived("rule in the pin", "a tolerance, in the pin only", *NEAR, "rule", "within", to=0.1),
    derived("rule in words", "the sentence of a rule", *FIT, "rule_text", to="the interval lies above 0.5"),
    derived("statement in the pin", "what is claimed, in the pin only", "claim_file", "statement", to="Nets learn."),
    derived("another deciding part", "which part decides", "claim_file", "deciding", to="fit"),
    Mutant(
        "rounded number", "an estimate, by a share of 1e-9, sealed", sealed(scaled(*FIT, "estimate", by=1 + 1e-9)),
        "recomputed", PIN, "claim_file.parts.fit.estimate",
    ),
    Mutant(
        "digit in the working tree", "the lower end of an interval, and nothing else", value(*FIT, "low", to=0.95),
        "recomputed", PIN, "claim_file.parts.fit.low",
        also=(("committed", PIN), ("claim bytes", PIN), LOCK), commit="none",
    ),
    Mutant(
        "unit", "the number of one seed, with its count", edited(better),
        "claim bytes", PIN, "claim_file", also=(("recomputed", PIN), EARLIER, LOCK),
    ),
    Mutant(
        "unit, sealed", "the number of one seed, with its count, sealed", sealed(edited(better)),
        "recomputed", PIN, "claim_file.parts.fit.estimate", also=(EARLIER,),
    ),
    Mutant(
        "unit, all made to follow", "the number of one seed, everything derived from it, sealed",
        sealed(rebuilt(edited(better))), "earlier pin", PIN, "claim_file.parts.fit.units[2].value",
    ),
    Mutant(
        "unit, all made to follow, pulled", "the same, where the claim file was computed or pulled",
        sealed(rebuilt(edited(better))), "artifact", f"{CLAIM}.json", "sha256",
        also=tuple((check, f"{CLAIM}.{end}") for check, end in BESIDE), tree="pulled", commit="rewritten",
    ),
    Mutant(
        "unit, all made to follow, computed again", "the numbers of all seeds, where the claim was computed again",
        sealed(rebuilt(edited(best))), "number", f"{CLAIM}.json", "parts.fit.estimate",
        tree="pulled", commit="rewritten", mode="",
    ),
    Mutant(
        "unit, all made to follow, made again", "the number of one seed, everything derived from it, sealed",
        sealed(rebuilt(edited(better))), "evidence", PIN, "claim_file.parts.fit.units[2].value",
        tree="pulled", commit="rewritten", mode="--figures",
    ),
    Mutant(
        "two seeds swapped", "two seeds carry each other's numbers, sealed", sealed(edited(swapped)),
        "earlier pin", PIN, "claim_file.parts.fit.units[0].unit",
    ),
    Mutant(
        "seed twice", "one seed's number is counted for two, sealed", sealed(edited(twice)),
        "recomputed", PIN, "claim_file.parts", also=(EARLIER,),
    ),
    Mutant(
        "unit dropped", "one seed is left out, sealed", sealed(edited(dropped)),
        "recomputed", PIN, "claim_file.parts.fit.n", also=(EARLIER,),
    ),
    Mutant(
        "unit dropped, all made to follow", "one seed is left out, everything derived from the rest, sealed",
        sealed(rebuilt(edited(dropped))), "earlier pin", PIN, "claim_file.parts.fit.units",
    ),
    Mutant(
        "diverged replica dropped", "a replica that diverged in a run is missing in the claim file's list",
        edited(nothing_diverged), "diverged", PIN, "runs[results/desk/runs/toy/random.safetensors].diverged",
    ),
    Mutant(
        "control and claim swapped", "the units of a part and of its control, sealed", sealed(edited(blocks)),
        "recomputed", PIN, "claim_file.parts.fit.estimate", also=(EARLIER,),
    ),
    Mutant(
        "control deleted in the pin", "a part's control", edited(uncontrolled),
        "shape", PIN, "claim_file.parts.fit.control",
    ),
    Mutant("key missing", "a part's margin is not there", edited(missing), "shape", PIN, "claim_file.parts.fit.margin"),
    Mutant("key too many", "a part has a note", edited(noted), "shape", PIN, "claim_file.parts.fit.note"),
    Mutant(
        "key twice", "a verdict is there a second time",
        text_of(PIN, '"verdict": ', '"verdict": "refuted", "verdict": '), "shape", PIN,
    ),
    Mutant("NaN", "a number is none", text_of(PIN, '"clusters": null', '"clusters": NaN'), "shape", PIN),
    Mutant(
        "verdict in the README", "`supported` to `refuted` in the table",
        text_of("README.md", "| supported |", "| refuted |"), "quoted", "README.md", "ssb-random-labels",
    ),
    Mutant(
        "unit, all made to follow, no earlier pin", "the number of one seed, everything derived from it, sealed",
        sealed(rebuilt(edited(better))), commit="rewritten",
        reason="the table is not in git; caught where claim files are pulled, and by `--figures` where tables are",
    ),
)  # fmt: skip
