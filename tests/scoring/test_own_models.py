"""No model of ours is refused or suspected."""

import pytest

from bench.adapters.adapted import Wanted
from bench.adapters.choose import adapt
from bench.configuration.models import make_model
from bench.data.tasks import task_of
from bench.scoring.checks import check_model, check_source
from bench.scoring.finding import Contradiction
from tests.scoring.planted import CPU, source_of
from tests.small_models import FITTED, TRAINED, alike_are_long, config_of, few_images


@pytest.mark.parametrize("name", alike_are_long(TRAINED | FITTED))
def test_our_own_models_pass(name):
    config = config_of(name)
    data = few_images(task_of(config))
    make = lambda shape, levels: make_model(config["model"], shape, levels, 1)
    model = make(data.shape, data.task.levels).eval()
    if hasattr(model, "fit"):
        model.fit(data.train)
    wanted = Wanted(data.shape, data.task.levels)
    found = check_model(adapt(model, wanted), data, 1, CPU)
    # The smallest image that these take is one of 65,536, whose sum takes seconds.
    is_large = "convolutional" in name or name == "linear_gaussian"
    if (
        name == "integer_discrete_flow"
    ):  # its masses sum to 1 over all integers, not over the levels
        with pytest.raises(Contradiction, match=r"0\.\d+ over all 16 images .*, and not 1"):
            check_source(source_of(make), model, wanted, 1)
        return
    small = [] if is_large else check_source(source_of(make), model, wanted, 1)
    assert [finding for finding in found + small if finding.outcome == "warning"] == []
    assert is_large or small[0].outcome == "passed"
