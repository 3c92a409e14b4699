"""A run's typed settings, and the types that several rooms share."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal

from bench.errors import InputError

# More than any machine has. OpenMP ends the process if 10^9 threads are requested.
MOST_THREADS = 1024
# Samples per datum; papers use up to 5000. Beyond a million, no displayed digit changes.
MOST_SAMPLES = 10**6
# A callback with (phase, share done in [0, 1], text). It is called often, so it must be cheap.
Progress = Callable[[str, float, str], None]
Split = Literal["train", "test"]
# Relation of the reported −log-likelihood to the true one: an upper bound of it, equal to it, or
# unknown (none). Leaderboards leave out models of the last kind.
Bound = Literal["upper", "exact", "none"]


@dataclass(frozen=True)
class Optimization:
    """What is maximized, and by which steps.

    Args:
        optimizer: The optimizer; all its settings but the learning rate are PyTorch's defaults.
        learning_rate: Its step size at the start.
        schedule: constant; cosine: the step size falls to 0 over the training's epochs; or tripling:
            stage i = 0 … 7 multiplies the step size by 10^(−i/7) and lasts three times as long as
            the stage before it (Burda et al. 2016, section 5, for 3,280 epochs; the stages shrink in
            proportion for fewer epochs).
        objective: elbo, or importance_weighted: L_k of ``samples`` draws (Burda et al. 2016, eq. 8).
        samples: Draws of z, or of the dequantization noise, per datum in one optimizer step.
        beta: Weight of the KL in the training objective; reported numbers always have weight 1.
            A flow has no KL, so this and kl_warmup_epochs do not affect it.
        kl_warmup_epochs: Epochs over which that weight rises linearly from 0.
        normalize_gradients: Divide each parameter tensor's gradient by its Euclidean norm, as the
            optimizer of Tomczak & Welling 2018 does (their code's AdamNormGrad).
        encoder_steps: Optimizer steps of an E-step, which trains the encoder alone: alternating
            variational Bayes, with many gradient steps per E-step. If this and decoder_steps are
            0, every step trains all parameters.
        decoder_steps: Optimizer steps of the M-step that follows, which trains all parameters but
            the encoder's.

    Raises:
        InputError: A number out of its range, or numbers that contradict each other.

    Examples:
        >>> Optimization(learning_rate=3e-4, schedule="cosine").beta
        1.0
    """

    # How messages name these options.
    group: ClassVar[str] = "optimization"

    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "tripling"] = "constant"
    objective: Literal["elbo", "importance_weighted"] = "elbo"
    samples: int = 1
    beta: float = 1.0
    kl_warmup_epochs: int = 0
    normalize_gradients: bool = False
    encoder_steps: int = 0
    decoder_steps: int = 0

    def __post_init__(self) -> None:
        check_positive(self.group, self, "learning_rate", "samples")
        check_not_negative(self.group, self, "beta", "kl_warmup_epochs")
        check_not_negative(self.group, self, "encoder_steps", "decoder_steps")
        if (self.encoder_steps > 0) != (self.decoder_steps > 0):
            raise InputError(
                f"{self.group}.encoder_steps, {self.group}.decoder_steps: {self.encoder_steps} and "
                f"{self.decoder_steps} would never train one of the two; set both positive or both 0"
            )
        if self.objective == "importance_weighted" and self.samples < 2:
            raise InputError(
                f"{self.group}.samples: the importance-weighted bound of {self.samples} sample is "
                "the ELBO; take 2 or more"
            )


@dataclass(frozen=True)
class TrainerConfig(Optimization):
    """How a run trains its model: an ``Optimization``, and what surrounds it.

    Args:
        max_epochs: Largest number of passes over the training split.
        batch_size: Number of data in one optimizer step.
        gradient_clip_norm: Largest Euclidean norm of the gradient; 0 does not clip.
        validate_every: Epochs between validations.
        patience: Training stops after this many validations without a better bound.
        threads: CPU threads. They are part of the configuration because they affect rounding.
        devices: GPUs, or CPU processes, of one machine that train together, each on its share of
            every batch. Like threads, they affect rounding alone.
        precision: Precision of training: 32-true, or bf16-mixed, in which networks round matrix
            products to 8 bits. Densities, validation and evaluation always have full precision.
        compile: Compile the networks for training (torch.compile), which delays the start.
    """

    group: ClassVar[str] = "trainer"

    max_epochs: int = 100
    batch_size: int = 100
    gradient_clip_norm: float = 0.0
    validate_every: int = 1
    patience: int = 20
    threads: int = 1
    devices: int = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    compile: Literal["none", "default"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.group, self, "max_epochs", "batch_size", "validate_every")
        check_positive(self.group, self, "patience", "threads", "devices")
        check_not_negative(self.group, self, "gradient_clip_norm")
        if self.threads > MOST_THREADS:
            raise InputError(f"trainer.threads: {self.threads} is more than {MOST_THREADS}")
        if self.validate_every > self.max_epochs:
            raise InputError(
                f"trainer.validate_every: {self.validate_every} is more than trainer.max_epochs "
                f"({self.max_epochs}): no epoch would be validated"
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """How a trained model is measured.

    Args:
        elbo_samples: Samples z per datum for the ELBO and its surgery; from 2 on, their spread
            gives the Monte-Carlo error.
        importance_samples: K of the importance-weighted bound L_K.
        importance_data: Number of data that L_K averages over at most, from the start of a split;
            the record holds the number used.
        importance_data_train: The same number for the training split; 0 means ``importance_data``.

    Raises:
        InputError: A number is not whole or not positive, or exceeds a million samples.

    Examples:
        >>> EvaluationConfig(importance_samples=1000).elbo_samples
        2
    """

    elbo_samples: int = 2
    importance_samples: int = 100
    importance_data: int = 10_000
    importance_data_train: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, Integral) or isinstance(value, bool):
                raise InputError(f"evaluation.{name}: {value!r} is not a whole number")
        check_positive("evaluation", self, "elbo_samples", "importance_samples", "importance_data")
        for name in ("elbo_samples", "importance_samples"):
            if getattr(self, name) > MOST_SAMPLES:
                raise InputError(
                    f"evaluation.{name}: {getattr(self, name)} is more than {MOST_SAMPLES} "
                    "samples; beyond that, no displayed digit changes"
                )
        check_not_negative("evaluation", self, "importance_data_train")


def check_positive(group: str, settings: object, *names: str) -> None:
    """Raise InputError unless these settings of a group are positive and finite."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < float("inf"):
            raise InputError(f"{group}.{name}: {value} is not a positive number")


def check_not_negative(group: str, settings: object, *names: str) -> None:
    """Raise InputError unless these settings of a group are at least 0 and finite."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value < float("inf"):
            raise InputError(f"{group}.{name}: {value} is negative or not a number")


def check_at_least_one(group: str, **values: int) -> None:
    """Raise InputError unless these arguments of a group, such as "model.", are 1 or more."""
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{group}{name}: {value} is less than 1")


def trainer_config(config: dict[str, Any]) -> TrainerConfig:
    return TrainerConfig(**config["trainer"])


def evaluation_config(config: dict[str, Any]) -> EvaluationConfig:
    return EvaluationConfig(**config["evaluation"])
