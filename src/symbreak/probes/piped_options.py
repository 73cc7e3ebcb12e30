"""What an arm of params.yaml may say about a probe of networks beside the probe's own options."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from symbreak.config.strict import Strict
from symbreak.probes.catalogue import Kind

Step = Annotated[int, Field(ge=-1)]  # of the run's stored steps; -1 is the last of them
# Options of a probe's 'measure' that nobody chooses: the pipeline knows them from the arm and its run.
FROM_RUN: Mapping[Kind, frozenset[str]] = {
    "model": frozenset({"axis", "times"}),
    "pair": frozenset(),
    "ensemble": frozenset(),
    "trajectory": frozenset({"steps", "rest", "lr", "momentum", "weight_decay", "batch"}),
    "sweep": frozenset(),
}


class Piped(Strict):
    """On which examples, and in which type.

    ``data``: the arm's training subset with the labels that it was trained on, or its test subset with true labels.
    ``images``: the first so many of them (null: all). ``dtype``: weights and inputs are converted to it (null: the
    training's; of an arm that trains nothing float32).
    """

    data: Literal["train", "test"] = "train"
    images: int | None = Field(default=None, ge=1)
    dtype: Literal["float32", "float64"] | None = None


class OfModel(Piped):
    """``step``: one stored step, or several, each probed by itself.

    ``along: training``: the steps (at least two) are probed together as moments of one training, replica by replica.
    """

    step: Step | tuple[Step, ...] = Field(default=-1)
    along: Literal["replicas", "training"] = "replicas"

    @model_validator(mode="after")
    def _training_has_moments(self) -> "OfModel":
        if self.along == "training" and (isinstance(self.step, int) or len(self.step) < 2):
            raise ValueError("'along: training' needs a list of at least two stored steps as 'step'")
        return self


class OfEnsemble(Piped):
    """``step``: one stored step, or several, each probed by itself."""

    step: Step | tuple[Step, ...] = Field(default=-1)


class OfPair(Piped):
    """``step``: two stored steps of each replica (three: a plane), by default the first and the last.

    ``replicas``: instead, two (or three) replicas by their positions among the arm's, a list each; then ``step`` is one
    step, by default the last.
    """

    step: Step | tuple[Step, ...] | None = None
    replicas: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()

    @model_validator(mode="after")
    def _two_or_three(self) -> "OfPair":
        if self.replicas and not (self.step is None or isinstance(self.step, int)):
            raise ValueError("'step' is one step where 'replicas' are named, not a list")
        if not self.replicas and (isinstance(self.step, int) or len(self.step or (0, -1)) not in (2, 3)):
            raise ValueError("'step' is a list of two or three stored steps where no 'replicas' are named")
        if wrong := [list(p) for p in self.replicas if len(p) not in (2, 3) or len(set(p)) != len(p)]:
            raise ValueError(f"'replicas' are lists of two or three different positions, not {wrong[0]}")
        return self


class OfTrajectory(Piped):
    """``step``: at least two stored steps, evenly spaced (null: all that are stored).

    ``data`` is what was trained on: it drives the laws.
    """

    data: Literal["train"] = "train"
    step: tuple[Step, ...] | None = Field(default=None, min_length=2)


OPTIONS: Mapping[Kind, type[Piped]] = {
    "model": OfModel,
    "pair": OfPair,
    "ensemble": OfEnsemble,
    "trajectory": OfTrajectory,
}


def divide(kind: Kind, options: Mapping[str, Any]) -> tuple[Piped, dict[str, Any]]:
    """Divide an arm's options into those of the pipeline, checked, and the probe's own as they are.

    Raises:
        pydantic.ValidationError: If one of the pipeline's is not what it must be.
    """
    model = OPTIONS[kind]
    piped = {name: value for name, value in options.items() if name in model.model_fields}
    return model.model_validate(piped), {name: value for name, value in options.items() if name not in piped}
