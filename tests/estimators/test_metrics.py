"""The estimators are Metrics of torchmetrics, with everything that its users expect of one."""

import pytest
import torch
from torchmetrics import MetricCollection

from bench.densities.normal import DiagonalNormal
from bench.errors import InputError
from bench.estimators.estimate import MeanEstimate
from bench.estimators.surgery import ELBOSurgery
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise


@pytest.fixture
def blocks():
    model = LinearGaussianVAE(shift=0.2)
    return [model.terms(x, Noise(0, i), 2) for i, x in enumerate(model.data(60).split(30))]


def test_what_compute_returns_is_the_estimates_value(blocks):
    mean, surgery = MeanEstimate(), ELBOSurgery()
    for terms in blocks:
        mean.update(terms.elbo)
        surgery.update(terms)
    assert isinstance(mean.compute(), torch.Tensor) and mean.compute() == mean.estimate().value
    values, estimates = surgery.compute(), surgery.estimates()
    assert values.keys() == estimates.keys()
    for name, value in values.items():
        assert value == estimates[name].value and value.shape == ()
    assert surgery.estimates()["elbo"].value == pytest.approx(mean.estimate().value, abs=1e-9)


def test_reset_forgets_everything(blocks):
    for metric, add in ((MeanEstimate(), lambda t: t.elbo), (ELBOSurgery(), lambda t: t)):
        metric.update(add(blocks[0]))
        metric.reset()
        metric.update(add(blocks[1]))
        fresh = type(metric)()
        fresh.update(add(blocks[1]))
        assert metric.compute() == fresh.compute()
    mean = MeanEstimate()
    mean.update(torch.zeros(7, 2))
    mean.reset()
    assert mean.samples == 0


def test_merging_states_is_updating_with_all_data(blocks):
    for kind, add in ((MeanEstimate, lambda t: t.elbo), (ELBOSurgery, lambda t: t)):
        whole, first, second = kind(), kind(), kind()
        for part, terms in zip((first, second), blocks):
            whole.update(add(terms))
            part.update(add(terms))
        second.merge_state(first)
        for name, value in as_dict(whole.compute()).items():
            assert as_dict(second.compute())[name].item() == pytest.approx(value.item(), abs=1e-12)


def as_dict(computed):
    return computed if isinstance(computed, dict) else {"": computed}


def test_forward_returns_the_value_of_the_batch(blocks):
    mean = MeanEstimate()
    for terms in blocks:
        assert mean(terms.elbo).item() == pytest.approx(
            terms.elbo.double().mean().item(), abs=1e-12
        )
    assert mean.compute().item() == pytest.approx(
        torch.cat([t.elbo for t in blocks], 1).double().mean().item(), abs=1e-12
    )


def test_collections_flatten_and_prefix_them(blocks):
    encodings = blocks[0].posterior
    collection = MetricCollection(
        {"own": ELBOSurgery(), "swapped": ELBOSurgery(encodings)}, prefix="test_"
    )
    means = MetricCollection({"a": MeanEstimate(), "b": MeanEstimate()})
    for terms in blocks:
        collection.update(terms)
        means.update(terms.elbo)
    computed = collection.compute()
    own, swapped = ELBOSurgery(), ELBOSurgery(encodings)
    for terms in blocks:
        own.update(terms)
        swapped.update(terms)
    for name, surgery in (("own", own), ("swapped", swapped)):
        for column, value in surgery.compute().items():
            assert computed[f"test_{name}_{column}"] == value
    assert computed["test_own_elbo_aggregate"] != computed["test_swapped_elbo_aggregate"]
    assert means.compute()["a"] == means.compute()["b"] == means["a"].estimate().value


def test_terms_of_a_training_step_are_refused(blocks):
    from dataclasses import replace

    with pytest.raises(InputError, match="log_prior is missing.*evaluation mode"):
        ELBOSurgery().update(replace(blocks[0], log_prior=None, log_posterior=None))
    with pytest.raises(InputError, match="posterior is missing"):
        ELBOSurgery().update(replace(blocks[0], posterior=None))


def test_metrics_without_data_or_with_other_shapes_say_so():
    with pytest.raises(InputError, match="no data were added"):
        MeanEstimate().estimate()
    with pytest.raises(InputError, match="no terms were added"):
        ELBOSurgery().estimates()
    with pytest.raises(InputError, match="shape \\(10,\\); \\(samples, batch\\) is needed"):
        MeanEstimate().update(torch.randn(10))
    with pytest.raises(InputError, match="log_prior is missing"):
        ELBOSurgery().update(torch.randn(2, 10))


def test_the_training_encodings_are_cloned_and_moved():
    loc = torch.randn(4, 2, requires_grad=True)
    surgery = ELBOSurgery(DiagonalNormal(loc * 2, loc * 0), compute_on_cpu=True)
    assert torch.equal(surgery.clone().training_encodings.loc, 2 * loc)
    assert surgery.to("meta").training_encodings.loc.device.type == "meta"
    assert not surgery.state_dict()
