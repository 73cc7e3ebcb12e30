"""The typed form of params.yaml: experiments, arms, and what each of their keys means."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

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


class MlpSpec(Strict):
    """Fully connected network; ``hidden`` widths, weights N(0, gain^2/fan_in), biases zero.

    ``init``: gain^2 = 2 (``he``) or 1 (``lecun``). ``norm``: BatchNorm between linear map and activation,
    with affine parameters and ``norm_eps``.
    """

    family: Literal["mlp"]
    hidden: tuple[Annotated[int, Field(ge=1)], ...]
    activation: Literal["relu", "tanh", "erf", "sigmoid", "linear"] = "relu"
    norm: Literal["none", "batch"] = "none"
    norm_eps: float = Field(default=1e-5, ge=0)
    bias: bool = True
    init: Literal["he", "lecun"] = "he"


class GaussnetSpec(Strict):
    """Gauss-net (arXiv:2008.08601; seed 002): one hidden layer of width ``width``.

    ``f_i(x) = b1_i + sum_j W1_ij exp(z_j - sigma_b^2 - sigma_w^2 |x|^2 / d)``; standard deviations as in the papers;
    ``mean_w1`` shifts the first ``shifted`` outputs' weights (null: all of them).
    """

    family: Literal["gaussnet"]
    width: int = Field(ge=1)
    sigma_w: float = Field(default=1.0, gt=0)
    sigma_b: float = Field(default=1.0, ge=0)
    mean_w1: float = 0.0
    shifted: int | None = Field(default=None, ge=0)


class ResnetSpec(Strict):
    """Residual network with BatchNorm (He et al. 2016), two 3x3 convolutions a block, post-activation.

    ``stem``: ``cifar`` (3x3, stride 1) or ``imagenet`` (7x7 stride 2, then 3x3 max-pooling stride 2).
    ``widths``: channels a stage, stride 2 between stages; ``blocks`` a stage; 1x1 projection shortcuts
    where shapes change; global average pooling.
    """

    family: Literal["resnet"]
    stem: Literal["cifar", "imagenet"] = "cifar"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32, 64)
    blocks: int = Field(default=1, ge=1)
    norm_eps: float = Field(default=1e-5, ge=0)


ModelSpec = Annotated[MlpSpec | GaussnetSpec | ResnetSpec, Field(discriminator="family")]


class OptimiserSpec(Strict):
    """PyTorch conventions: ``v <- beta v + (g + k q); q <- q - lr v`` (dampening 0), decay coupled to the loss."""

    name: Literal["sgd", "adam"]
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)

    @model_validator(mode="after")
    def _momentum_belongs_to_sgd(self) -> "OptimiserSpec":
        if self.momentum and self.name != "sgd":
            raise ValueError("'momentum' belongs to 'sgd'; Adam has 'betas'")
        return self


class ScheduleSpec(Strict):
    """Learning rate by epoch: ``constant``; ``exponential`` (times ``factor`` after each epoch);
    ``step`` (times ``factor`` after each epoch in ``at``); ``cosine`` (to zero, by step, after
    ``warmup`` epochs of linear warm-up)."""

    kind: Literal["constant", "exponential", "step", "cosine"] = "constant"
    factor: float | None = Field(default=None, gt=0)
    at: tuple[int, ...] = ()
    warmup: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _factor_belongs_to_decay(self) -> "ScheduleSpec":
        if (self.kind in ("exponential", "step")) != (self.factor is not None):
            raise ValueError("'factor' is needed with kinds 'exponential' and 'step' and only there")
        if self.warmup and self.kind != "cosine":
            raise ValueError("'warmup' belongs to kind 'cosine'")
        return self


class TrainingSpec(Strict):
    """How a run is trained.

    ``epochs`` passes over the training subset (the last batch may be short unless ``drop_last``), or exactly
    ``steps`` updates. ``order``: ``own`` (each replica's data order from its seed) or ``shared`` (all use
    ``order_seed``'s). ``loss``: mean over the batch of cross-entropy, or of the mean squared error to one-hot
    targets over the classes. ``group``: replicas a batched matrix product (part of the identity of the bytes).
    ``checkpoints``: steps after which parameters are kept; the initial and the final ones always are.
    ``observe``: observer name -> options.
    """

    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(ge=1)
    drop_last: bool = False
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    optimiser: OptimiserSpec
    schedule: ScheduleSpec = ScheduleSpec()
    order: Literal["own", "shared"] = "own"
    order_seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"
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
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("'seeds' has a seed twice")
        return self
