"""Any probe of networks as a probe of the pipeline: networks and examples from an arm's run, the report as a table.

The loss is the training's (of an arm that trains nothing: the probe's default), the seed that of the stream
``("probe", NAME)`` of the first network's seed. Beside the probe's own options an arm gives those of
``symbreak.probes.piped_options``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from symbreak.config.probes import problems
from symbreak.errors import SymbreakError
from symbreak.probes.catalogue import Probe, find
from symbreak.probes.noether_law import heavy_ball
from symbreak.probes.own import fits, resolve
from symbreak.probes.piped_calls import Call, calls
from symbreak.probes.piped_networks import Networks
from symbreak.probes.piped_options import FROM_RUN, divide
from symbreak.probes.piped_table import named, place
from symbreak.probes.report import Report
from symbreak.probes.source import Source
from symbreak.seeding import derive
from symbreak.training.device import prepare


def of(name: str) -> Callable[..., pd.DataFrame]:
    """Return a probe of networks as a probe of the pipeline, ``probe(source, **options)``.

    Raises:
        SymbreakError: If there is none of that name.
    """
    probe = find(name)

    def piped(source: Source, **options: Any) -> pd.DataFrame:
        return measure(probe, source, options)

    return piped


def measure(probe: Probe, source: Source, options: Mapping[str, Any]) -> pd.DataFrame:
    """Measure the networks of an arm.

    Args:
        probe: What is measured.
        source: The arm, its run (if it trains) and its set.
        options: Those of the pipeline and those of the probe.

    Returns:
        One row a number: ``seed``, ``order_seed`` and ``step`` (null in rows whose networks differ in it; of lines and
        planes the first network's, and the same of the second and third as ``seed_2`` ...), ``diverged`` (one of the
        row's networks stopped at its last finite parameters), ``quantity``, ``unit``, the report's other axes (of pairs
        of replicas ``other_seed`` and ``other_order_seed``), ``value`` and ``error`` (0 where exact).
        ``attrs["warnings"]`` has the probe's warnings.

    Raises:
        SymbreakError: If an option is unknown or impossible, the run lacks what is asked for, or the probe refuses.
    """
    if found := list(problems(source.spec, probe.name, options)):
        raise SymbreakError(f"arm '{source.spec.arm}' asks for what a probe cannot do: " + "; ".join(found))
    piped, own = divide(probe.needs, options)
    networks = Networks(source, piped)
    prepare("cpu", source.spec.threads)
    asked = calls(piped, networks, len(source.replicas))
    reports = [_report(probe, source, networks, call, own) for call in asked]
    tables = [named(source, call, report) for call, report in zip(asked, reports, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    table.attrs["warnings"] = [
        f"{place(source, call)}: {sentence}"
        for call, report in zip(asked, reports, strict=True)
        for sentence in report.warnings
    ]
    return table


def _report(probe: Probe, source: Source, networks: Networks, call: Call, options: Mapping[str, Any]) -> Report:
    network, data = networks.network(call.members), networks.examples(call.members[0][0])
    fits(network, data)
    known, sentences = _known(probe, source, call)
    training = source.spec.training
    loss = {} if training is None else {"loss": training.loss}
    seed = derive(source.seeds[call.members[0][0]], "probe", probe.name)
    run: Callable[..., Report] = probe.load().measure
    report = run(network, data, seed=seed, **loss, **resolve(probe, {**options, **known}))
    for sentence in sentences:
        report.warn(sentence)
    return report


def _known(probe: Probe, source: Source, call: Call) -> tuple[dict[str, Any], list[str]]:
    """What the run says about a call: options that nobody chooses, and warnings about those it cannot say."""
    if call.axis != "time":
        return {}, []
    facts: dict[str, Any] = {"axis": "time", "times": call.steps}
    sentences = []
    training = source.spec.training
    if probe.needs == "trajectory" and training is not None:
        facts = {"steps": call.steps[1] - call.steps[0], "rest": call.steps[0] == 0, "batch": training.batch}
        try:
            ball = heavy_ball(source.spec)
            facts |= {"lr": ball.lr, "momentum": ball.momentum, "weight_decay": ball.decay}
        except SymbreakError as error:
            sentences = [f"no law is known for this training: {error}"]
    known = FROM_RUN[probe.needs] & probe.options().keys()
    return {name: value for name, value in facts.items() if name in known}, sentences
