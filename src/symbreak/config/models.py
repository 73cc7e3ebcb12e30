"""The typed form of an arm's ``model``: every family and what its keys mean."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from symbreak.config.strict import Strict

Scheme = Literal["he", "he_fan_out", "lecun", "glorot"]
Width = Annotated[int, Field(ge=1)]


class NormalSpec(Strict):
    """Mean and standard deviation of one parameter's initial values; ``std`` null: that of the scheme."""

    mean: float = 0.0
    std: float | None = Field(default=None, ge=0)


class ModelBase(Strict):
    """What every family has.

    ``init``: weights N(0, s^2) with s^2 = 2/fan_in (``he``), 2/fan_out (``he_fan_out``), 1/fan_in (``lecun``) or
    2/(fan_in + fan_out) (``glorot``), but 1/fan_in for the head of a convolutional network; biases zero; normalisation
    the identity. ``initial``: parameter name -> mean and
    standard deviation that replace these.
    """

    init: Scheme = "he"
    initial: dict[str, NormalSpec] = Field(default_factory=dict)


class MlpSpec(ModelBase):
    """Fully connected network with ``hidden`` widths; ``linear`` activations make it a deep linear network.

    ``norm``: BatchNorm or LayerNorm between linear map and activation, with affine parameters and ``norm_eps``.
    ``dropout``: probability with which a hidden unit's activation is dropped in training (the others are scaled).
    """

    family: Literal["mlp"]
    hidden: tuple[Width, ...]
    activation: Literal["relu", "tanh", "erf", "sigmoid", "linear"] = "relu"
    norm: Literal["none", "batch", "layer"] = "none"
    norm_eps: float = Field(default=1e-5, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    bias: bool = True


class GaussnetSpec(Strict):
    """Single hidden layer of width ``width`` of the NN-QFT papers (arXiv:2008.08601; seed 002).

    ``f_i(x) = b1_i + sum_j W1_ij s_j(x)`` with the ``neuron`` ``gauss``:
    ``exp(z_j - sigma_b^2 - sigma_w^2 |x|^2 / d)``, ``erf``: ``erf(z_j)`` (Erf-net), ``relu``: ``max(0, z_j)``
    (ReLU-net, whose papers take ``sigma_b`` 0).
    Standard deviations: sigma_w/sqrt(d), sigma_b, sigma_w/sqrt(width), sigma_b. Without ``bias`` there are none, and
    ``sigma_b`` is 0. The last layer's weights of all hidden neurons have the mean v: ``mean_w1`` at the first
    ``shifted`` outputs (null: all of them) and 0 at the others, or, with ``direction`` ``random``, a vector of the same
    length whose direction each replica draws. ``initial``: parameter name -> mean and standard deviation that replace
    these.
    """

    family: Literal["gaussnet"]
    width: Width
    neuron: Literal["gauss", "erf", "relu"] = "gauss"
    sigma_w: float = Field(default=1.0, gt=0)
    sigma_b: float = Field(default=1.0, ge=0)
    mean_w1: float = 0.0
    shifted: int | None = Field(default=None, ge=0)
    direction: Literal["axes", "random"] = "axes"
    bias: bool = True
    initial: dict[str, NormalSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_bias_has_no_spread(self) -> "GaussnetSpec":
        if not self.bias and self.sigma_b != 0:
            raise ValueError("without 'bias', 'sigma_b' must be 0 (it is in Gauss-net's normaliser and kernel too)")
        return self


class ShortcutSpec(Strict):
    """The shortcut of a residual block (He et al. 2016, arXiv:1603.05027, table 1), h its input and F its branch.

    ``identity``: h + F. ``scaling``: ``scale`` h + ``branch_scale`` F. ``exclusive_gate``: (1-g) h + g F and
    ``shortcut_gate``: (1-g) h + F with g = sigmoid(1x1 convolution of h), whose bias starts at ``gate_bias``.
    ``conv``: a 1x1 convolution of h, + F. ``dropout``: h dropped with probability ``dropout``, + F. ``none``: F alone.
    Where shapes change, h is first projected by a 1x1 convolution (except with ``none``).
    """

    kind: Literal["identity", "scaling", "exclusive_gate", "shortcut_gate", "conv", "dropout", "none"] = "identity"
    scale: float = 1.0
    branch_scale: float = 1.0
    gate_bias: float = 0.0
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _numbers_belong_to_their_kind(self) -> "ShortcutSpec":
        if (self.scale, self.branch_scale) != (1.0, 1.0) and self.kind != "scaling":
            raise ValueError("'scale' and 'branch_scale' belong to kind 'scaling'")
        if self.gate_bias and self.kind not in ("exclusive_gate", "shortcut_gate"):
            raise ValueError("'gate_bias' belongs to the gates")
        if bool(self.dropout) != (self.kind == "dropout"):
            raise ValueError("'dropout' is needed with kind 'dropout' and only there")
        return self


class ResnetSpec(ModelBase):
    """Residual network of two 3x3 convolutions a block (He et al. 2016; with ``blocks`` n and three stages 6n+2
    layers).

    ``stem``: ``cifar`` (3x3, stride 1) or ``imagenet`` (7x7 stride 2, then 3x3 max-pooling stride 2).
    ``widths``: channels a stage, stride 2 between stages; ``blocks`` a stage; global average pooling.
    ``order``: ``post`` (conv, norm, ReLU, conv, norm, add, ReLU) or ``pre`` (norm, ReLU, conv, norm, ReLU, conv, add; a
    last norm and ReLU before the pooling). ``norm``: BatchNorm, or none (convolutions then have biases).
    """

    family: Literal["resnet"]
    stem: Literal["cifar", "imagenet"] = "cifar"
    widths: tuple[Width, ...] = (16, 32, 64)
    blocks: int = Field(default=1, ge=1)
    order: Literal["post", "pre"] = "post"
    shortcut: ShortcutSpec = ShortcutSpec()
    norm: Literal["batch", "none"] = "batch"
    norm_eps: float = Field(default=1e-5, ge=0)
    init: Scheme = "he_fan_out"


class VggSpec(ModelBase):
    """VGG-style network (Simonyan and Zisserman 2015, arXiv:1409.1556): stages of 3x3 convolutions, 2x2 max-pooling
    after each.

    ``stages``: channels of the convolutions, stage by stage; ``hidden``: widths of the dense layers before the last.
    ``norm``: BatchNorm after each convolution, or none (convolutions then have biases). ``dropout`` after each dense
    hidden layer.
    """

    family: Literal["vgg"]
    stages: tuple[tuple[Width, ...], ...] = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    hidden: tuple[Width, ...] = ()
    norm: Literal["batch", "none"] = "batch"
    norm_eps: float = Field(default=1e-5, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    init: Scheme = "he_fan_out"


class CnnSpec(ModelBase):
    """Small convolutional network: convolutions, each with an activation and max-pooling by ``pool``, then dense
    layers.

    ``channels`` of each convolution of size ``kernel`` (odd; padding keeps the size); ``hidden``: widths of the
    dense layers
    before the last. ``norm``: BatchNorm or LayerNorm (over channels and positions) after each convolution.
    ``dropout`` after each dense hidden layer.
    """

    family: Literal["cnn"]
    channels: tuple[Width, ...] = (16, 32)
    kernel: int = Field(default=3, ge=1)
    pool: int = Field(default=2, ge=1)
    hidden: tuple[Width, ...] = ()
    activation: Literal["relu", "tanh", "erf", "sigmoid", "linear"] = "relu"
    norm: Literal["none", "batch", "layer"] = "none"
    norm_eps: float = Field(default=1e-5, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> "CnnSpec":
        if self.kernel % 2 == 0:
            raise ValueError("'kernel' must be odd, so that padding can keep the image's size")
        return self


class RnnSpec(ModelBase):
    """Recurrent network that reads an image row by row (all channels of a row a step) and classifies from its last
    state.

    ``integration`` (Wu et al. 2016, arXiv:1606.06630): ``additive``: act(W x + U h + b); ``multiplicative``:
    act(alpha * Wx * Uh + beta1 * Uh + beta2 * Wx + b) with trained vectors that start at ``alpha``, ``beta1``,
    ``beta2``.
    """

    family: Literal["rnn"]
    width: Width
    integration: Literal["additive", "multiplicative"] = "additive"
    activation: Literal["relu", "tanh", "erf", "sigmoid", "linear"] = "tanh"
    alpha: float = 1.0
    beta1: float = 1.0
    beta2: float = 1.0
    init: Scheme = "glorot"


ModelSpec = Annotated[MlpSpec | GaussnetSpec | ResnetSpec | VggSpec | CnnSpec | RnnSpec, Field(discriminator="family")]
