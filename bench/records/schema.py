"""Checks of a record before anything is made from it: records may come from strangers."""

import re
from typing import Any

from bench.records.types import BOUNDS, SPLITS, Config

KEY = re.compile(r"[0-9a-f]{16}")
# A task becomes part of file names.
TASK = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")
HEXADECIMAL = re.compile(r"[0-9a-f]{1,64}")
SURROGATE = re.compile("[\ud800-\udfff]")
METRIC = re.compile(r"[a-z_][a-z0-9_]{0,59}")
# A map of 32 × 32 bytes in base64.
MAP = re.compile(r"[A-Za-z0-9+/]{1366}==")
CURVES = ("epoch", "train_elbo", "validation_elbo")
# Sums of squares of larger numbers overflow; no float32 comes near.
LARGEST = 1e100
# The probability of a discrete datum is at most 1, so bits/dim are at least 0 up to estimation error.
LEAST_BITS = -0.01
# Columns of timings.csv that are not in a record's timing.
NOT_TIMED = (
    "key", "task", "model", "seed", "processor", "stacked", "core_hours", "started", "ended",
    "overlapping_runs",
)  # fmt: skip
# The end of the year 9999 in seconds since 1970: later times have no date.
LAST_TIME = 253402300799
DEEPEST = 50
LONGEST_REASON = 10_000
# A cell of a table names all plugins of a run.
MOST_PLUGINS, LONGEST_PLUGIN_NAME = 10, 100


def problem_of(record: Any) -> str | None:
    """Return what is wrong with a record, as a predicate for the message; None if nothing is wrong."""
    try:
        _check(record)
    except _Wrong as wrong:
        return str(wrong)
    return None


def problem_of_config(config: Config) -> str | None:
    """Return why a record could not hold a run of this configuration; None if it can."""
    if not _is_whole(config["seed"]):
        return f"seed: {str(config['seed'])[:100]} is not a whole number of at most 63 bits"
    if not _is_number(config["trainer"]["beta"]):
        return f"trainer.beta: {config['trainer']['beta']} is more than {LARGEST:g}"
    return None


def problem_of_plugins(plugins: Any) -> str | None:
    """Return why this is not what a configuration says of its plugins; None if it is."""
    if not isinstance(plugins, list) or not 0 < len(plugins) <= MOST_PLUGINS:
        return f"plugins: not a list of 1 to {MOST_PLUGINS} plugins"
    for plugin in plugins:
        if not isinstance(plugin, dict) or set(plugin) != {"name", "version", "sha256"}:
            return "plugins: a plugin has a name, a version and a sha256, and nothing else"
        for text in (plugin["name"], plugin["version"] or "-"):
            if not is_line(text) or len(text) > LONGEST_PLUGIN_NAME:
                return f"plugins: a name or version is not a text of {LONGEST_PLUGIN_NAME} letters"
        if not _matches(plugin["sha256"], SHA256):
            return "plugins: a sha256 is not of 64 hexadecimal digits"
    return None


class _Wrong(Exception):
    pass


def _check(record: Any) -> None:
    _need(isinstance(record, dict), "is not a mapping")
    _need(is_key(record.get("key")), "has no key of 16 hexadecimal digits")
    _need(is_task(record.get("task")), "names no task")
    _need(is_line(record.get("model")), "names no model")
    _need(_is_whole(record.get("seed")), "has no seed")
    _need(record.get("status") in ("ok", "failed"), "has a status that is neither ok nor failed")
    config = _mapping(record, "config")
    beta = _mapping(config, "trainer").get("beta")
    # Of a model from outside nobody knows it.
    is_unknown = beta is None and "scored" in record and "beta" in config["trainer"]
    _need(_is_number(beta) or is_unknown, "has no config.trainer.beta")
    if "plugins" in config:
        _need(not (problem := problem_of_plugins(config["plugins"])), f"has {problem}")
    data = _mapping(record, "data")
    for name in ("dimensions", "levels"):
        _need(_is_whole(data.get(name), 1), f"has no data.{name}")
    for name in SPLITS:
        _need(_is_whole(_mapping(data, "sizes").get(name), 1), f"has no data.sizes.{name}")
    hashes = list(_mapping(data, "payload_sha256").values()) + [data.get("split_sha256")]
    hashes += [data["images_sha256"]] if "images_sha256" in data else []
    _need(all(is_hash(value) for value in hashes), "has no hashes of its data")
    commit = _mapping(record, "environment").get("commit")
    _need(commit is None or is_hash(commit), "has no commit")
    gpu, cpu = record["environment"].get("gpu"), record["environment"].get("cpu")
    _need(gpu is None or is_line(gpu), "has no environment.gpu")
    # Python finds no name of some processors.
    _need(cpu is None or cpu == "" or is_line(cpu), "has no environment.cpu")
    for name in ("threads", "stacked"):
        _need(_is_whole(record["environment"].get(name, 1), 1), f"has no environment.{name}")
    _need(_is_whole(config["trainer"].get("devices", 1), 1), "has no config.trainer.devices")
    if "evaluated_with" in record:
        _mapping(record, "evaluated_with")
    timing = _mapping(record, "timing")
    are_names = all(_matches(name, METRIC) and name not in NOT_TIMED for name in timing)
    _need(are_names and all(map(_is_magnitude, timing.values())), "has no timing")
    started, ended = timing.get("started_at", 0), timing.get("ended_at", LAST_TIME)
    _need(started <= ended <= LAST_TIME, "has no timing")
    if "scored" in record:
        _check_scored(_mapping(record, "scored"))
    _need(_is_shallow(record, DEEPEST), "is nested too deeply")
    if record["status"] == "failed":
        _need(_is_text(record.get("reason")), "failed without a reason")
    else:
        _check_results(record)


def _check_results(record: dict[str, Any]) -> None:
    for name in ("decoder", "prior"):
        value = record.get(name)
        _need(value is None or value == "" or is_line(value), f"has no {name}")
    _need(record.get("bound") in BOUNDS, "has no bound")
    for name in ("parameters", "epochs", "best_epoch"):
        value = record.get(name)
        _need(value is None or _is_whole(value, 0), f"has no {name}")
    for split in SPLITS:
        _check_metrics(_mapping(_mapping(record, "metrics"), split), record["bound"])
    for point in _list(record, "history"):
        _need(
            isinstance(point, dict) and all(_is_number(point.get(name)) for name in CURVES),
            "has a history of other things than numbers",
        )
    images = _mapping(record, "images")
    _need(all(isinstance(value, str) for value in images.values()), "has no images")
    # The first records have no map, nor do those of models that are not VAEs.
    if record.get("latent") is not None:
        _check_latent(_mapping(record, "latent"))


def _check_scored(scored: dict[str, Any]) -> None:
    _need(is_line(scored.get("adapter")), "has no scored.adapter")
    _need(is_hash(scored.get("weights_sha256")), "has no scored.weights_sha256")
    hashes = _mapping(scored, "sources_sha256").values()
    _need(all(map(is_hash, hashes)), "has no hashes of its scored.sources_sha256")
    for finding in _list(scored, "checks", "scored.checks"):
        texts = (
            [finding.get(name) for name in ("check", "outcome", "says")]
            if isinstance(finding, dict)
            else [None]
        )
        _need(all(map(_is_text, texts)), "has no scored.checks")


def _check_latent(latent: dict[str, Any]) -> None:
    for name in ("low", "high", "share"):
        pair = _list(latent, name, f"latent.{name}")
        _need(len(pair) == 2 and all(map(_is_number, pair)), f"has no latent.{name}")
    for name in ("prior", "aggregate"):
        _need(_matches(latent.get(name), MAP), f"has no latent.{name}")


def _check_metrics(metrics: dict[str, Any], bound: str) -> None:
    for name, estimate in metrics.items():
        _need(_matches(name, METRIC) and isinstance(estimate, dict), "has no metrics")
        _need(_is_number(estimate.get("value")), f"has no value of {name}")
        for error in (estimate.get("stderr"), estimate.get("stderr_data")):
            _need(error is None or _is_magnitude(error), f"has no standard error of {name}")
        for count in ("n", "samples"):
            _need(_is_whole(estimate.get(count), 0), f"has no {count} of {name}")
    _need("bits_per_dim" in metrics, "has no bits_per_dim")
    # A density that was trained without dequantization is not one of the discrete data.
    is_possible = bound == "none" or metrics["bits_per_dim"]["value"] >= LEAST_BITS
    _need(is_possible, "has negative bits_per_dim, which no model of discrete data has")


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _Wrong(otherwise)


def _mapping(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise _Wrong(f"has no {name}")
    return value


def _list(parent: dict[str, Any], name: str, path: str | None = None) -> list[Any]:
    value = parent.get(name)
    if not isinstance(value, list):
        raise _Wrong(f"has no {path or name}")
    return value


def _matches(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def is_key(value: Any) -> bool:
    return _matches(value, KEY)


def is_task(value: Any) -> bool:
    return _matches(value, TASK)


def is_plugins(value: Any) -> bool:
    """Tell whether a cell can name a run's plugins, see `bench.records.row.plugins_text`."""
    most = MOST_PLUGINS * (2 * LONGEST_PLUGIN_NAME + 100)
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


def is_hash(value: Any) -> bool:
    return _matches(value, HEXADECIMAL)


def is_line(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 300 and value.isprintable()


def _is_whole(value: Any, least: int | None = None) -> bool:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and abs(value) < 2**63 and (least is None or value >= least)


def _is_number(value: Any) -> bool:
    # NaN is not <= anything.
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) <= LARGEST


def _is_magnitude(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
    """Tell whether a text is of moderate length and can be written as UTF-8."""
    return isinstance(value, str) and len(value) <= LONGEST_REASON and not SURROGATE.search(value)


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)
