"""normflows' flows: ``NormalizingFlow``, and ``MultiscaleFlow`` without classes."""

from typing import Any

from bench.adapters.adapted import Adapted, Wanted
from bench.adapters.flows import adapt_log_prob
from bench.errors import InputError


def adapt_normflows(flow: Any, wanted: Wanted) -> Adapted:
    """Return the model of a flow's ``log_prob``.

    Raises:
        InputError: It is conditional on classes, or ``adapt_log_prob`` raises one.
    """
    name = type(flow).__name__
    is_multiscale = hasattr(flow, "merges")
    if getattr(flow, "class_cond", False) or name == "ClassCondFlow":
        raise InputError(
            f"model: normflows' {name} is conditional on classes: p(x|class) is not p(x)"
        )
    log_prob = (lambda x: flow.log_prob(x, None)) if is_multiscale else flow.log_prob
    return adapt_log_prob(flow, log_prob, "normflows", wanted, "normflows")
