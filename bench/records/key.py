"""The key of a run: a hash of its canonical configuration. Moving a class changes no key."""

import hashlib
import json
from typing import Any

from bench.records.types import Config

# Classes are hashed by the import paths that the first records had. A class that was added later is
# hashed by its bare name. This table never changes, wherever a class moves.
HISTORICAL_PATHS = {
    "BoltsResNet18": "bench.bolts.BoltsResNet18",
    "ResidualConvolutional": "bench.convolutional.ResidualConvolutional",
    "Bernoulli": "bench.densities.decoders.Bernoulli",
    "Categorical": "bench.densities.decoders.Categorical",
    "DiscretizedLogistic": "bench.densities.decoders.DiscretizedLogistic",
    "Gaussian": "bench.densities.decoders.Gaussian",
    "DiscretizedGaussian": "bench.densities.discretized.DiscretizedGaussian",
    "Exemplar": "bench.densities.exemplar.Exemplar",
    "Aggregate": "bench.densities.priors.Aggregate",
    "Flow": "bench.densities.priors.Flow",
    "Mixture": "bench.densities.priors.Mixture",
    "StandardNormal": "bench.densities.priors.StandardNormal",
    "Vamp": "bench.densities.priors.Vamp",
    "BoltsVAE": "bench.models.bolts_vae.BoltsVAE",
    "ConvolutionalRealNVP": "bench.models.convolutional_realnvp.ConvolutionalRealNVP",
    "GaussianMixture": "bench.models.gaussian_mixture.GaussianMixture",
    "LinearGaussian": "bench.models.probabilistic_pca.LinearGaussian",
    "RealNVP": "bench.models.realnvp.RealNVP",
    "IndependentPixels": "bench.models.reference.IndependentPixels",
    "Uniform": "bench.models.reference.Uniform",
    "VAE": "bench.models.vae.VAE",
    "VariationalRealNVP": "bench.models.variational_realnvp.VariationalRealNVP",
    "GatedMLP": "bench.nets.GatedMLP",
    "MLP": "bench.nets.MLP",
}
# Options that were added after the first records. At these values a run is the same as without the
# option, and so is its key.
ADDED: dict[str, dict[str, Any]] = {
    "data": {"leave_out_every": 0},
    "trainer": {
        "encoder_steps": 0,
        "decoder_steps": 0,
        "devices": 1,
        "precision": "32-true",
        "objective": "elbo",
        "samples": 1,
        "normalize_gradients": False,
        "compile": "none",
    },
    "evaluation": {"importance_data_train": 0},
}
# The same for arguments of the models' classes.
ADDED_TO_MODELS: dict[str, dict[str, Any]] = {
    "RealNVP": {"shift": "after_scaling"},
    "VAE": {"posterior": {"class_path": "NormalPosterior"}},
}


def key_of(config: Config) -> str:
    """Return the run's key: 16 hexadecimal digits of the SHA-256 of its canonical configuration."""
    canonical = json.dumps(hashed_part(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def hashed_part(config: Config) -> Config:
    """Return the part of a configuration that identifies a run: without added options at old values."""
    kept = dict(config)
    for section, added in ADDED.items():
        if isinstance(config.get(section), dict):
            kept[section] = without(added, config[section])
    if isinstance(config.get("model"), dict):
        model = with_historical_paths(config["model"])
        if isinstance(model.get("init_args"), dict):
            added = ADDED_TO_MODELS.get(bare_name(str(model.get("class_path"))), {})
            model = model | {"init_args": without(added, model["init_args"])}
        kept["model"] = model
    if "plugins" in config:
        # By their source alone: a file may be renamed.
        sources = ({"version": p["version"], "sha256": p["sha256"]} for p in config["plugins"])
        kept["plugins"] = sorted(sources, key=lambda source: source["sha256"])
    return kept


def with_historical_paths(value: Any) -> Any:
    """Return nested plain data with the classes' names that keys are hashed from."""
    if isinstance(value, dict):
        kept = {name: with_historical_paths(part) for name, part in value.items()}
        if isinstance(kept.get("class_path"), str):
            name = bare_name(kept["class_path"])
            kept["class_path"] = HISTORICAL_PATHS.get(name, name)
        return kept
    return [with_historical_paths(part) for part in value] if isinstance(value, list) else value


def bare_name(path: str) -> str:
    """Return the name of a class from its import path, or from the name itself."""
    return path.rpartition(".")[2]


def without(added: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` without the options that are in ``added`` with the same value."""
    return {
        name: value
        for name, value in settings.items()
        if not (name in added and value == added[name])
    }
