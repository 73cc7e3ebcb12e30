"""A probe's report as a table of an arm's networks: their seeds, orders and steps in the place of positions."""

from typing import Any

import pandas as pd

from symbreak.probes.piped_calls import Call
from symbreak.probes.piped_networks import Member
from symbreak.probes.report import Report
from symbreak.probes.source import Source

WHOLE = ("seed", "order_seed", "step")
ALL = -1  # the place of rows that are of all networks of a call


def named(source: Source, call: Call, report: Report) -> pd.DataFrame:
    """Return the report's table; the columns are those of ``piped.measure``."""
    found = report.table()
    axes = [name for name in found.columns if name not in ("quantity", "unit", "value", "error")]
    found[axes] = found[axes].astype("Int64")
    places = found[call.axis].fillna(ALL) if call.axis in found else pd.Series(ALL, index=found.index)
    identities = {n: _identity(source, (member,)) for n, member in enumerate(call.members)}
    identities[ALL] = _identity(source, call.members)
    columns = {name: places.map({n: i[name] for n, i in identities.items()}) for name in (*WHOLE, "diverged")}
    if call.axis == "corner":
        columns |= _corners(identities, len(call.members))
    if "other" in found:
        for name in ("seed", "order_seed"):
            columns[f"other_{name}"] = found["other"].map({n: i[name] for n, i in identities.items()})
    rest = ["quantity", "unit", *(name for name in axes if name not in (call.axis, "other")), "value", "error"]
    table = pd.concat([pd.DataFrame(columns, index=found.index), found[rest]], axis=1)
    whole = [name for name in columns if name != "diverged"]
    return table.astype(dict.fromkeys(whole, "Int64") | {"diverged": bool})


def place(source: Source, call: Call) -> str:
    """Return which networks a call is of, in words."""
    seeds = dict.fromkeys(source.seeds[r] for r, _ in call.members)
    steps = dict.fromkeys(call.steps)
    return f"seeds {', '.join(map(str, seeds))} at steps {', '.join(map(str, steps))}"


def _corners(identities: dict[int, dict[str, Any]], count: int) -> dict[str, Any]:
    """Constant columns: the first corner's without a suffix, the second's with ``_2``, the third's with ``_3``."""
    suffixes = {n: f"_{n + 1}" if n else "" for n in range(count)}
    return {name + suffix: identities[n][name] for n, suffix in suffixes.items() for name in WHOLE}


def _identity(source: Source, members: tuple[Member, ...]) -> dict[str, Any]:
    """What all ``members`` share, null where they differ, and whether any of them diverged."""
    replicas = [source.replicas[r] for r, _ in members]
    gone = _diverged(source)
    return {
        "seed": _common([replica.seed for replica in replicas]),
        "order_seed": _common([replica.order_seed for replica in replicas]),
        "step": _common([step for _, step in members]),
        "diverged": any((replica.seed, replica.order_seed) in gone for replica in replicas),
    }


def _common(values: list[Any]) -> Any:
    first = values[0]
    return first if first is not None and len(set(values)) == 1 else pd.NA


def _diverged(source: Source) -> set[tuple[int, int | None]]:
    if source.spec.training is None:
        return set()
    rows = source.epochs.loc[source.epochs["diverged"].astype(bool), ["seed", "order_seed"]]
    return {(int(seed), None if pd.isna(order) else int(order)) for seed, order in rows.itertuples(index=False)}
