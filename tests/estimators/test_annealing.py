from bench.configuration.models import build_model
from bench.data.tasks import Task, load_task
from bench.densities.normal import standard_normal_log_prob
from bench.estimators.annealing import annealed_importance_sampling
from bench.estimators.evidence import importance_weighted_bound, naive_evidence
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise
from tests.conftest import small_config


def test_it_meets_the_exact_evidence():
    model = LinearGaussianVAE()
    x = model.data(20)
    start = Noise(1).normal(200, 20, 2).double()
    joint = lambda z: standard_normal_log_prob(z) + model.log_likelihood(z, x)
    value, variance = annealed_importance_sampling(standard_normal_log_prob, joint, start, 100, 0)
    error = variance.sum().sqrt().item() / 20
    assert abs((value - model.log_evidence(x)).mean().item()) < 4 * error + 0.002
    assert error < 0.02


def test_it_agrees_with_the_importance_weighted_bound_on_a_trained_vae(tmp_path):
    """Two estimates that share nothing but the model: q(z|y) does not enter annealing here."""
    from bench.configuration.job import Job
    from bench.runs.run import run
    from bench.training.checkpoints import BEST, read_checkpoint

    config = small_config(
        "bernoulli_vae", "digits-binary", "--trainer.max_epochs=30", "--trainer.learning_rate=5e-3"
    )
    run(Job(config, "m", "test", str(tmp_path), "disabled"))
    data = load_task(Task("digits", "threshold"))
    model = build_model(config, data.shape, 2)
    weights = read_checkpoint(tmp_path / BEST)["state_dict"]
    model.load_state_dict({k.removeprefix("model."): v for k, v in weights.items()})
    model.eval()
    y = data.test[:20]

    def joint(z):
        outputs = model.decode(z)
        return standard_normal_log_prob(z) + model.decoder.log_prob(outputs, y, Noise(0))

    start = Noise(1).normal(40, 20, 3)
    value, variance = annealed_importance_sampling(standard_normal_log_prob, joint, start, 150, 0)
    bound, bound_variance = importance_weighted_bound(model, y, 2000, 0)
    error = (variance + bound_variance).sum().sqrt().item() / 20
    assert abs((value - bound).mean().item()) < 4 * error + 0.01
    naive, naive_variance = naive_evidence(model, y, 5000, 0)
    error = (naive_variance + bound_variance).sum().sqrt().item() / 20
    assert -5 * error - 0.1 < (naive - bound).mean().item() < 4 * error + 0.01
