"""The typed form of params.yaml: experiments, arms, and what each of their keys means."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from symbreak.config.models import ModelSpec
from symbreak.config.strict import Strict

Set = Literal["mnist", "fashion_mnist", "cifar10"]
Scale = Literal["smoke", "desk", "paper"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class LabelSpec(Strict):
    """Label variant of the training set.

    ``true``; ``random`` (uniform over the classes); ``shuffled`` (a permutation of the true ones);
    ``partial`` (each label replaced by a uniform class with probability ``fraction``, Zhang et al. 2017).
    """

    kind: Literal["true", "random", "shuffled", "partial"] = "true"
    fraction: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _fraction_belongs_to_partial(self) -> "LabelSpec":
        if (self.kind == "partial") != (self.fraction is not None):
            raise ValueError("'fraction' is needed with kind 'partial' and only there")
        return self


class ImageSpec(Strict):
    """Image variant, applied to training and test images (Zhang et al. 2017, arXiv:1611.03530).

    ``plain``; ``shuffled_pixels`` (one permutation for all images); ``random_pixels`` (a new
    permutation per image); ``gaussian`` (noise with the set's own mean and variance).
    """

    kind: Literal["plain", "shuffled_pixels", "random_pixels", "gaussian"] = "plain"


class StandardiseSpec(Strict):
    """How uint8 pixels become floats.

    ``unit``: p/255. ``dataset``: (p/255 - mean)/std with the set's own training statistics per channel.
    ``constants``: the same with the given ``mean`` and ``std``. ``per_image``: (x - mean)/max(std, 1/sqrt(n)).
    """

    kind: Literal["unit", "dataset", "constants", "per_image"] = "dataset"
    mean: float | None = None
    std: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _constants_need_numbers(self) -> "StandardiseSpec":
        given = self.mean is not None and self.std is not None
        none = self.mean is None and self.std is None
        if not (given if self.kind == "constants" else none):
            raise ValueError("'mean' and 'std' are needed with kind 'constants' and only there")
        return self


class ExpandSpec(Strict):
    """Input dimension expansion (Zhang et al., arXiv:2409.06402): N x N becomes NK x NK.

    ``constant``: pixels at ``[offset::factor, offset::factor]``, the rest ``value``.
    ``nearest``: nearest-neighbour upsampling. ``when``: whether ``value`` is filled in before
    or after standardisation (two different experiments: CIFAR's means are near 0.5).
    """

    factor: int = Field(ge=1, le=8)
    fill: Literal["constant", "nearest"]
    value: float | None = None
    offset: int = Field(default=0, ge=0)
    when: Literal["before", "after"] = "after"

    @model_validator(mode="after")
    def _value_belongs_to_constant(self) -> "ExpandSpec":
        if (self.fill == "constant") != (self.value is not None):
            raise ValueError("'value' is needed with fill 'constant' and only there")
        if self.offset >= self.factor:
            raise ValueError("'offset' must be smaller than 'factor'")
        return self


class DataSpec(Strict):
    """What a run is trained and tested on.

    ``train`` and ``test``: images in class-balanced subsets (null: the whole set, original order).
    ``subset``: whether all replicas share one subset (``shared``, drawn from ``subset_seed``) or each
    draws its own. ``labels_per``: whether replicas draw their own labels and pixel permutations (``replica``)
    or share those of ``subset_seed``. ``crop``: centre crop to this many pixels a side.
    """

    set: Set
    train: int | None = Field(default=None, ge=10)
    test: int | None = Field(default=None, ge=10)
    subset: Literal["shared", "replica"] = "shared"
    subset_seed: int = 0
    labels: LabelSpec = LabelSpec()
    images: ImageSpec = ImageSpec()
    labels_per: Literal["replica", "shared"] = "replica"
    crop: int | None = Field(default=None, ge=4, le=32)
    standardise: StandardiseSpec = StandardiseSpec()
    expand: ExpandSpec | None = None


class OptimiserSpec(Strict):
    """How a gradient becomes an update; ``g`` includes weight decay, ``g + k q`` (coupled to the loss).

    ``sgd``: ``v <- beta v + (1 - dampening) g; q <- q - lr v`` (PyTorch: heavy ball, the first ``v`` is ``g``).
    ``rmsprop``: ``s <- rho s + (1 - rho) g^2; q <- q - lr g / (sqrt(s) + eps)`` element by element.
    ``adam``: ``betas`` and ``eps`` (Kingma and Ba 2015). ``flow``: the reference for theory: dq/dt = -g integrated over
    a time ``lr`` a step with relative tolerance ``rtol`` (Dormand and Prince's RK45); needs float64 and the whole
    set as batch.
    """

    name: Literal["sgd", "rmsprop", "adam", "flow"]
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    dampening: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    rho: float = Field(default=0.99, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    rtol: float = Field(default=1e-9, gt=0)

    @model_validator(mode="after")
    def _momentum_belongs_to_sgd(self) -> "OptimiserSpec":
        if self.momentum and self.name != "sgd":
            raise ValueError("'momentum' belongs to 'sgd'; Adam has 'betas'")
        if self.dampening and not self.momentum:
            raise ValueError("'dampening' belongs to 'momentum'")
        return self


class ScheduleSpec(Strict):
    """Learning rate by epoch: ``constant``; ``exponential`` (times ``factor`` after each epoch);
    ``step`` (times ``factor`` after each epoch in ``at``); ``cosine`` (to zero, by step, after the warm-up).

    ``warmup``: epochs of linear warm-up, in which the rate of each step t of W is multiplied by t/W.
    """

    kind: Literal["constant", "exponential", "step", "cosine"] = "constant"
    factor: float | None = Field(default=None, gt=0)
    at: tuple[int, ...] = ()
    warmup: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _factor_belongs_to_decay(self) -> "ScheduleSpec":
        if (self.kind in ("exponential", "step")) != (self.factor is not None):
            raise ValueError("'factor' is needed with kinds 'exponential' and 'step' and only there")
        return self


class TrainingSpec(Strict):
    """How a run is trained.

    ``epochs`` passes over the training subset (the last batch may be short unless ``drop_last``), or exactly
    ``steps`` updates. ``batch``: examples an update (null: the whole subset, full-batch gradient descent).
    ``order``: ``own`` (each replica's data order from its seed) or ``shared``: the orders of ``order_seeds``, each
    shared by
    as equal a part of the seeds as can be, in their order, or, ``crossed``, by all of them (every seed with every
    order, so that
    the spread of orders can be told from that of initialisations). ``loss``: mean over the batch of cross-entropy, or
    of the mean squared error over the classes to one-hot targets, or to one-cold ones (``mse_one_cold``: 1 - one-hot,
    so that the smallest output names the class; arXiv:2106.00694). ``group``: replicas a matrix product, of one order
    if shared
    (part of the identity of the bytes). ``autocast``: compute products in bfloat16; weights, their updates and
    losses stay float32. ``inputs``: ``all``, or ``nonzero``: those that are 0 in every training and test image of the
    arm are left out of products, and their weights keep their first values, as with ``all``; a replica's last digits
    then depend on the arm's other images. For fully connected networks without normalisation, dropout, weight decay,
    flow and observers, and pixels of which it is known that they stay 0 (``standardise: {kind: unit}``).
    ``checkpoints``: steps after which parameters are kept; the initial and the final ones always are.
    ``observe``: observer name -> options.
    """

    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    batch: int | None = Field(ge=1)
    drop_last: bool = False
    loss: Literal["cross_entropy", "mse", "mse_one_cold"] = "cross_entropy"
    optimiser: OptimiserSpec
    schedule: ScheduleSpec = ScheduleSpec()
    order: Literal["own", "shared"] = "own"
    order_seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    crossed: bool = False
    dtype: Literal["float32", "float64"] = "float32"
    autocast: Literal["none", "bfloat16"] = "none"
    inputs: Literal["all", "nonzero"] = "all"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    group: int = Field(default=16, ge=1)
    checkpoints: tuple[int, ...] = ()
    evaluate_train: Literal["every", "final"] = "every"
    observe: dict[Name, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingSpec":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of 'epochs' and 'steps'")
        return self

    @model_validator(mode="after")
    def _orders_belong_to_shared(self) -> "TrainingSpec":
        if (self.order == "shared") != bool(self.order_seeds):
            raise ValueError("'order_seeds' are needed with order 'shared' and only there")
        if len(set(self.order_seeds)) != len(self.order_seeds):
            raise ValueError("'order_seeds' has a seed twice")
        if self.crossed and self.order != "shared":
            raise ValueError("'crossed' belongs to order 'shared'")
        return self

    @model_validator(mode="after")
    def _precision_is_possible(self) -> "TrainingSpec":
        if self.autocast != "none" and self.dtype != "float32":
            raise ValueError("'autocast' keeps float32 weights; 'dtype' must be 'float32'")
        if self.optimiser.name == "flow" and (self.dtype != "float64" or self.batch is not None):
            raise ValueError("optimiser 'flow' needs dtype 'float64' and batch null, the whole set")
        return self

    @model_validator(mode="after")
    def _what_counts_all_weights_needs_all_inputs(self) -> "TrainingSpec":
        counted = self.optimiser.name == "flow" or self.optimiser.weight_decay > 0 or bool(self.observe)
        if self.inputs == "nonzero" and counted:
            raise ValueError("'inputs: nonzero' forbids 'weight_decay', 'observe' and 'flow', which need all weights")
        return self


class ArmSpec(Strict):
    """One arm of an experiment, all its seeds trained as one ensemble."""

    experiment: Name
    arm: Name
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    threads: int = Field(default=1, ge=1)
    data: DataSpec | None = None
    model: ModelSpec | None = None
    training: TrainingSpec | None = None
    probes: dict[Name, dict[str, Any]]

    @model_validator(mode="after")
    def _training_is_complete(self) -> "ArmSpec":
        if self.training is not None and (self.data is None or self.model is None):
            raise ValueError("'training' needs 'data' and 'model'")
        if (
            self.training is not None
            and self.training.optimiser.name == "flow"
            and getattr(self.model, "dropout", False)
        ):
            raise ValueError(
                "optimiser 'flow' follows one loss, but 'dropout' draws a new one at every step; remove one"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("'seeds' has a seed twice")
        return self
