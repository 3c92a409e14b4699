"""nflows' flows and distributions."""

from typing import Any

from bench.adapters.adapted import Adapted, Wanted
from bench.adapters.flows import adapt_log_prob


def adapt_nflows(flow: Any, wanted: Wanted) -> Adapted:
    """Return the model of a flow's ``log_prob``. Raises InputError as ``adapt_log_prob`` does."""
    return adapt_log_prob(flow, flow.log_prob, "nflows", wanted, "nflows")
