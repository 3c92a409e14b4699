"""A run's typed description, its canonical form and its key.

The constructors are the schema: jsonargparse reads a model's options from the signatures of
`bench.models` and `bench.densities`, and refuses a wrong name, key or type before anything runs.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from bench.errors import InputError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# Beside the package in a checkout, inside it in an installed wheel.
CONFIGS = next(
    path
    for path in (Path(__file__).parent / "configs", Path(__file__).parents[1] / "configs")
    if path.is_dir()
)
GROUPS = ("data", "model", "trainer", "evaluation")


@dataclass(frozen=True)
class TrainerConfig:
    """How a model is trained.

    Args:
        max_epochs: Largest number of passes over the training split.
        batch_size: Number of data in one optimizer step.
        optimizer: The optimizer, with PyTorch's defaults but for the learning rate.
        learning_rate: Its step size, at the start.
        schedule: constant, or cosine: the step size falls to 0 over max_epochs.
        beta: Weight of the KL in the training objective; what is reported always has weight 1.
            A flow has no KL, and neither this nor the next changes it.
        kl_warmup_epochs: Epochs over which that weight rises linearly from 0.
        gradient_clip_norm: Largest Euclidean norm of the gradient; 0 does not clip.
        validate_every: Epochs between two looks at the validation bound.
        patience: Looks without a better validation bound after which training stops.
        threads: CPU threads. Part of the configuration, because sums are rounded otherwise.
    """

    max_epochs: int = 100
    batch_size: int = 100
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    beta: float = 1.0
    kl_warmup_epochs: int = 0
    gradient_clip_norm: float = 0.0
    validate_every: int = 1
    patience: int = 20
    threads: int = 1

    def __post_init__(self) -> None:
        check_positive("trainer", self, "max_epochs", "batch_size", "learning_rate")
        check_positive("trainer", self, "validate_every", "patience", "threads")
        check_not_negative("trainer", self, "beta", "kl_warmup_epochs", "gradient_clip_norm")
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
    """

    elbo_samples: int = 2
    importance_samples: int = 100
    importance_data: int = 10_000

    def __post_init__(self) -> None:
        check_positive("evaluation", self, "elbo_samples", "importance_samples", "importance_data")


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


@lru_cache(maxsize=1)
def run_parser() -> "ArgumentParser":
    """Return the parser of one run's options."""
    return make_parser()


def make_parser() -> "ArgumentParser":
    """Make a new parser of one run's options. Imports the models, hence PyTorch."""
    import jsonargparse

    # The imported modules are those whose classes may be called by their bare names.
    import bench.densities.decoders
    import bench.densities.priors
    import bench.models.realnvp
    import bench.models.reference
    import bench.models.vae
    from bench.data.tasks import Task
    from bench.models.terms import Model
    from bench.nets import Shape

    parser = jsonargparse.ArgumentParser(
        prog="bench train", exit_on_error=False, description="Train, evaluate and record one run."
    )
    parser.add_argument("--config", action="config", help="A YAML file with any of the options.")
    parser.add_class_arguments(Task, "data")
    parser.add_argument(
        "--model",
        type=Callable[[Shape, int], Model],
        enable_path=True,
        required=True,
        help=f"A model: one of {', '.join(names('model'))}, or a YAML file.",
    )
    parser.add_class_arguments(TrainerConfig, "trainer")
    parser.add_class_arguments(EvaluationConfig, "evaluation")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="Initialisation, data order, training noise and evaluation noise derive from it.",
    )
    return parser


def names(group: str) -> list[str]:
    """Return the names that ``configs/<group>/`` defines."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def resolve(group: str, name: str) -> Path:
    """Return the YAML file for a name under ``configs/<group>/``, or for a path to one."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / group / f"{name}.yaml"
    if not re.fullmatch(r"[\w.-]+", name) and not name.endswith((".yaml", ".yml")):
        raise InputError(f"{group}: '{name}' is no name; known are {', '.join(names(group))}")
    if not path.is_file():
        where = "no such file" if name.endswith((".yaml", ".yml")) else "unknown"
        raise InputError(f"{group}: '{name}' is {where}; known are {', '.join(names(group))}")
    return path


def read_yaml(path: Path) -> Any:
    """Read a YAML file safely. Raises InputError with the place of the mistake."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: no valid YAML: {' '.join(str(error).split())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def with_paths(arguments: list[str]) -> list[str]:
    """Replace the names behind --data, --model, --trainer and --evaluation by their files.

    Everything that may name a class is checked on the way, before anything is imported.
    """
    resolved = list(arguments)
    for position, word in enumerate(resolved):
        option, equals, value = word.partition("=")
        group = option.removeprefix("--")
        following = position + 1 < len(resolved)
        if not option.startswith("--") or not (equals or following):
            continue
        value = value if equals else resolved[position + 1]
        if group in GROUPS:
            path = resolve(group, value)
            check_class_paths(read_yaml(path), str(path))
            resolved[position if equals else position + 1] = f"{option}={path}" if equals else str(path)
        elif group == "config":
            check_class_paths(read_yaml(Path(value)), value)
        elif group.startswith("model."):
            check_class_paths(parse_yaml(value, option), option.lstrip("-"))
    return resolved


def parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"{where}: '{text}' is no valid YAML") from None


def check_class_paths(value: Any, where: str = "config") -> None:
    """Refuse names of classes outside the benchmark: importing them would run their code."""
    if isinstance(value, dict):
        for part in value.values():
            check_class_paths(part, where)
    elif isinstance(value, list):
        for part in value:
            check_class_paths(part, where)
    elif isinstance(value, str) and re.search(r"[A-Za-z_]\s*\.\s*[A-Za-z_]", value):
        # Whatever has the form of an import path, under whichever key.
        if not re.fullmatch(r"bench(\.[A-Za-z_]\w*)+", value):
            raise InputError(f"{where}: '{value}' names code outside bench")


def parse_run(arguments: list[str], parser: "ArgumentParser | None" = None) -> dict:
    """Return the canonical configuration (plain dict, every default written out) of one run.

    Args:
        arguments: Options of ``bench train``, names allowed where files are.
        parser: A parser with further options, which come back with the others.

    Raises:
        InputError: An unknown name, key or type, in one line.
    """
    import jsonargparse

    try:
        config = (parser or run_parser()).parse_args(with_paths(arguments))
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
    plain = plain_dict(config.as_dict())
    trainer_config(plain), evaluation_config(plain)
    return plain


def validate(config: Any) -> dict:
    """Return the canonical form of a configuration read from a record or a checkpoint."""
    import jsonargparse

    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise InputError("config: not a mapping of options to values")
    check_class_paths(config)
    try:
        return plain_dict(run_parser().parse_object(config).as_dict())
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None


def trainer_config(config: dict) -> TrainerConfig:
    return TrainerConfig(**config["trainer"])


def evaluation_config(config: dict) -> EvaluationConfig:
    return EvaluationConfig(**config["evaluation"])


def task_of(config: dict):
    from bench.data.tasks import Task

    return Task(**config["data"])


def build_model(config: dict, shape: tuple[int, ...], levels: int):
    """Construct the model that a canonical configuration describes, initialised by its seed."""
    import torch

    from bench.noise import derive_seed

    parser = run_parser()
    factory = parser.instantiate(parser.parse_object(config)).model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config["seed"], "initialisation"))
        return factory(shape, levels)


def plain_dict(value: Any) -> Any:
    """Return nested namespaces as plain data, without the paths that they were read from."""
    if isinstance(value, dict):
        return {k: plain_dict(v) for k, v in value.items() if k not in ("__path__", "config")}
    if isinstance(value, (list, tuple)):
        return [plain_dict(part) for part in value]
    return value


def key_of(config: dict) -> str:
    """Return the run's key: 16 hexadecimal digits of the SHA-256 of its canonical configuration."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def one_line(error: Exception) -> str:
    """Return the innermost complaint of jsonargparse's nested messages, with the key it is about."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())
    keys = re.findall(r'[Kk]ey "([\w.]+)"', text)
    text = re.split(r"\.? Got value: Namespace\(", text)[0]
    text = re.split(r"expects a function or a callable class: |Parser key \"[\w.]+\": ?", text)[-1]
    path = re.search(r"- Expected a dot import path string: ([^.\s]+)", text)
    if path:
        text = f"'{path.group(1)}' is unknown"
    text = text.replace("<class '", "").replace("'>", "").strip(" :")
    return f"{'.'.join(keys)}: {text}" if keys else text


@dataclass(frozen=True)
class Job:
    """A run and where it belongs; only ``config`` decides its numbers, and its key.

    Attributes:
        config: Canonical configuration.
        model: The name that tables show.
        sweep: The sweep's name, for W&B's group.
        directory: Where checkpoints and logs of this run go.
        wandb_mode: offline, online or disabled.
    """

    config: dict
    model: str
    sweep: str
    directory: str
    wandb_mode: str = "offline"

    @property
    def key(self) -> str:
        return key_of(self.config)
