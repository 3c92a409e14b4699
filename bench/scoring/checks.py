"""All checks of somebody's model, in the order of their cost."""

from collections.abc import Callable

import torch

from bench.adapters.adapted import Adapted, Wanted
from bench.data.tasks import TaskData
from bench.library.evaluate import check_terms
from bench.library.external import evaluation_mode
from bench.scoring.contradictions import check_not_too_good, check_numbers
from bench.scoring.finding import Finding
from bench.scoring.kl import check_kl
from bench.scoring.small import check_small
from bench.scoring.source import Source, users_code
from bench.scoring.suspicions import check_log_variance, check_noise_range, check_odds
from bench.system.determinism import deterministically

# Images of each split that the checks look at.
LOOKED_AT = 1000


def check_model(
    adapted: Adapted,
    data: TaskData,
    seed: int,
    device: torch.device,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> list[Finding]:
    """Check an adapted model on its task's images.

    Args:
        adapted: The model, on ``device``.
        data: The images.
        seed: The draws of the checks are a function of it.
        device: Where to compute.
        progress: Called with the share that is done, and what is being checked.

    Raises:
        InputError: It does what no correct model does.
    """
    model, levels = adapted.model, data.task.levels
    test, train = data.test[:LOOKED_AT].to(device), data.train[:LOOKED_AT].to(device)
    checks: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
        ("numbers", lambda: check_numbers(model, test)),
        ("KL", lambda: check_kl(model, test, seed)),
        ("Gibbs' inequality", lambda: check_not_too_good(model, train, levels, seed)),
        ("dequantization", lambda: check_noise_range(model, test, levels)),
        ("log-variance", lambda: check_log_variance(model, test)),
        ("odds", lambda: check_odds(model, test, levels, seed)),
    )
    found: list[Finding] = []
    with deterministically(), evaluation_mode(model), torch.no_grad():
        if hasattr(model, "attach"):
            model.attach(data.train.to(device))
        check_terms(model, test[:2])
        for number, (name, check) in enumerate(checks):
            progress(number / len(checks), name)
            found += check()
    return found


def check_source(source: Source, made: object, wanted: Wanted, seed: int) -> list[Finding]:
    """Check what the source makes for images of two pixels, see ``check_small``."""
    with users_code(source.label, source.folder):
        return check_small(source, made, wanted, seed)
