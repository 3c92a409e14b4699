"""zuko's flows: lazy distributions, whose call gives a distribution."""

from typing import Any

from bench.adapters.adapted import Adapted, Wanted
from bench.adapters.flows import adapt_log_prob


def adapt_zuko(flow: Any, wanted: Wanted) -> Adapted:
    """Return the model of ``flow().log_prob``. Raises InputError as ``adapt_log_prob`` does."""
    return adapt_log_prob(flow, lambda x: flow().log_prob(x), "zuko", wanted, "zuko")
