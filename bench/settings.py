"""Typed settings of training and evaluation, and the types that all rooms share."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal

from bench.errors import InputError

# More than any machine has; an OpenMP that is asked for 10^9 ends the process.
MOST_THREADS = 1024
# Samples of one datum; papers take 5000. From a million on, one more changes no shown digit.
MOST_SAMPLES = 10**6
# (phase, share done in [0, 1], text): called often, must be cheap.
Progress = Callable[[str, float, str], None]
Split = Literal["train", "test"]
# What −log_likelihood is to the truth: at most it is this (upper), it is this (exact), or nothing is
# known (none), and the model never enters a leaderboard.
Bound = Literal["upper", "exact", "none"]


@dataclass(frozen=True)
class Optimization:
    """What is maximized, and by which steps.

    Args:
        optimizer: The optimizer, with PyTorch's defaults but for the learning rate.
        learning_rate: Its step size, at the start.
        schedule: constant; cosine, where the step size falls to 0 over the training's epochs; or
            tripling, where stage i = 0 … 7 has the step size times 10^(−i/7) and is three times as
            long as the one before (Burda et al. 2016, section 5, for 3,280 epochs; shortened in
            proportion for fewer).
        objective: elbo, or importance_weighted: L_k of ``samples`` draws (Burda et al. 2016, eq. 8).
        samples: Draws of z, or of the dequantization noise, per datum in one optimizer step.
        beta: Weight of the KL in the training objective; what is reported always has weight 1.
            A flow has no KL, and neither this nor the next changes it.
        kl_warmup_epochs: Epochs over which that weight rises linearly from 0.
        normalize_gradients: Divide each parameter tensor's gradient by its Euclidean norm, as the
            optimizer of Tomczak & Welling 2018 does (their code's AdamNormGrad).
        encoder_steps: Optimizer steps of a phase that moves the encoder alone: alternating
            variational Bayes, with an E-step of many gradient steps. 0, like decoder_steps, moves
            all parameters in every step.
        decoder_steps: Optimizer steps of the phase that follows, the M-step, which moves all
            parameters but the encoder's.

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
                f"{self.decoder_steps} would never train one of the two; both positive, or both 0"
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
        patience: Validations without a better bound after which training stops.
        threads: CPU threads. Part of the configuration, because sums are rounded otherwise.
        devices: GPUs, or processes on the CPU, of one machine that train together, each on its
            share of every batch. As with threads, only rounding depends on it.
        precision: Of training: 32-true, or bf16-mixed, in which matrix products are rounded to 8
            bits. Evaluation is never rounded so.
        compile: Compile the networks for training (torch.compile), which takes a while at the start:
            default, or cuda_graphs, which also replays their kernels as graphs.
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
    compile: Literal["none", "default", "cuda_graphs"] = "none"

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
        importance_data: L_K is taken over the first so many data of a split at most; the number
            is recorded with it.
        importance_data_train: The same for the training split, where it is to be another number
            than for the test split; 0 takes ``importance_data``.

    Raises:
        InputError: A number that is not whole, not positive, or more samples than a million.

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
                raise InputError(f"evaluation.{name}: {value!r} is no whole number")
        check_positive("evaluation", self, "elbo_samples", "importance_samples", "importance_data")
        for name in ("elbo_samples", "importance_samples"):
            if getattr(self, name) > MOST_SAMPLES:
                raise InputError(
                    f"evaluation.{name}: {getattr(self, name)} is more than {MOST_SAMPLES} samples, "
                    "and from there on one more changes no digit that is shown"
                )
        check_not_negative("evaluation", self, "importance_data_train")


def check_positive(group: str, settings: Any, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < float("inf"):
            raise InputError(f"{group}.{name}: {value} is not a positive number")


def check_not_negative(group: str, settings: Any, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value < float("inf"):
            raise InputError(f"{group}.{name}: {value} is negative or not a number")


def trainer_config(config: dict[str, Any]) -> TrainerConfig:
    return TrainerConfig(**config["trainer"])


def evaluation_config(config: dict[str, Any]) -> EvaluationConfig:
    return EvaluationConfig(**config["evaluation"])
