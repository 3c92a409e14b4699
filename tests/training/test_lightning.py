"""The models as a user of Lightning uses them: a Trainer of one's own, and whatever it can do."""

import copy
import pickle

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import bench
from bench import (
    AggregatePosteriorVAE,
    BernoulliVAE,
    EvaluationConfig,
    GaussianVAE,
    InputError,
    NamedModel,
    Optimization,
    RealNVP,
    TaskDataModule,
    importance_weighted_bound,
    task_from_arrays,
)
from bench.configuration.files import names
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.noise import Noise
from bench.training.batches import Batch
from bench.training.epoch import TrainingDiverged
from bench.training.many_steps import ManySteps
from bench.training.module import GenerativeModel
from tests.conftest import small_config

SMALL = {"widths": [16]}
MODELS = {
    "gaussian_vae": lambda data, **more: GaussianVAE(data.shape, data.levels, **SMALL, **more),
    "bernoulli_vae": lambda data, **more: BernoulliVAE(data.shape, data.levels, **SMALL, **more),
    "realnvp": lambda data, **more: RealNVP(data.shape, data.levels, couplings=2, **SMALL, **more),
    "aggregate_vae": lambda data, **more: AggregatePosteriorVAE(
        data.shape, data.levels, exemplars=50, **SMALL, **more
    ),
}


@pytest.fixture
def data():
    return TaskDataModule("digits-binary")


@pytest.fixture
def trainer_of(tmp_path):
    def made(**options):
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        folder = {"default_root_dir": tmp_path, "accelerator": "cpu"}
        return pl.Trainer(**({"max_epochs": 2} | quiet | folder | options))

    return made


def loader_of(images, batch_size=100, **options):
    """Return a DataLoader of square uint8 images, as anybody would write it."""
    return DataLoader(TensorDataset(images.view(-1, 1, 8, 8)), batch_size, **options)


class Batches:
    """A loader of the simplest kind; a list would be several loaders to Lightning."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


def weights(module):
    return {name: value.clone() for name, value in module.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_trained_tested_saved_and_loaded(name, data, trainer_of):
    module = MODELS[name](data)
    before = weights(module)
    trainer = trainer_of()
    trainer.fit(module, data)
    assert not same(before, weights(module)) and trainer.global_step == 2 * 11
    assert {"train_elbo", "validation_elbo"} <= trainer.callback_metrics.keys()
    (tested,) = trainer.test(module, data, verbose=False)
    columns = bench.evaluate(module.model, data.data, EvaluationConfig(importance_samples=2))
    for column in ("elbo", "reconstruction", "mutual_information", "marginal_kl"):
        if f"test_{column}" in tested:
            assert tested[f"test_{column}"] == columns["test"][column].value
    assert ("test_mutual_information" in tested) == (name != "realnvp")
    loaded = type(module).load_from_checkpoint(trainer.checkpoint_callback.best_model_path)
    assert same(weights(loaded), weights(module)) and loaded.hparams == module.hparams
    predicted = torch.cat(trainer.predict(loaded, data))
    assert predicted.shape == (len(data.data.test),) and predicted.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_the_defaults_are_those_of_the_file_of_that_name(name):
    filled = {"gaussian_vae": GaussianVAE, "bernoulli_vae": BernoulliVAE, "realnvp": RealNVP}
    filled["aggregate_vae"] = AggregatePosteriorVAE
    task = "digits-binary" if name == "bernoulli_vae" else "digits-17"
    levels = 2 if name == "bernoulli_vae" else 17
    config = parse_run(["--data", task, "--model", name, "--seed=3"])
    expected = build_model(config, (1, 8, 8), levels).state_dict()
    assert same(weights(filled[name]((1, 8, 8), levels, seed=3)), expected)
    named = NamedModel(name, (1, 8, 8), levels, seed=3)
    assert same(weights(named), expected) and named.hparams["model"] == config["model"]


@pytest.mark.parametrize("name", names("model"))
def test_every_model_of_the_benchmark_has_a_name(name, data, trainer_of):
    if name in ("bolts_vae", "resnet_vae"):  # their networks are for larger images in colour
        assert NamedModel(name, (3, 32, 32), 256).parameters()
        return
    module = NamedModel(name, (1, 8, 8), 2)
    if any(p.requires_grad for p in module.parameters()):
        trainer_of(fast_dev_run=1).fit(module, data)
        assert module.global_step == 1


@pytest.mark.parametrize(
    "name, options",
    [
        ("gaussian_vae", {}),
        ("gaussian_vae", {"encoder_steps": 7, "decoder_steps": 5, "kl_warmup_epochs": 3}),
        ("gaussian_vae", {"schedule": "cosine", "normalize_gradients": True, "optimizer": "sgd"}),
        ("aggregate_vae", {"objective": "importance_weighted", "samples": 3}),
        ("realnvp", {"schedule": "tripling"}),
    ],
)
def test_many_steps_at_once_give_the_weights_of_one_at_a_time_bit_for_bit(
    name, options, trainer_of
):
    """Over groups of mini-batches that an epoch does not divide into, and gradients that are clipped."""
    config = small_config(name, "digits-17")
    settings, found = Optimization(**options), []
    for at_once in (0, 4):
        model = build_model(config, (1, 8, 8), 17)
        if at_once:
            module = ManySteps(model, settings, seed=5, gradient_clip_norm=2.0)
        else:
            module = GenerativeModel(model, settings, seed=5)
        trainer = trainer_of(max_epochs=3, gradient_clip_val=None if at_once else 2.0)
        trainer.fit(module, TaskDataModule("digits-17", 100, 5, at_once))
        found.append((weights(module), module.history, trainer.global_step))
    assert same(found[0][0], found[1][0]) and found[0][1:] == found[1][1:]
    assert found[0][2] == 33


def test_a_plain_loader_gives_the_numbers_of_the_data_module(data, trainer_of):
    """Same images in the same order: a loader without shuffling, against the module's batches."""
    images, found = data.data.train, []

    class InOrder(TaskDataModule):
        def train_dataloader(self):
            return loader_of(images, drop_last=True)

    for arguments in (
        {"datamodule": InOrder("digits-binary")},
        {
            "train_dataloaders": loader_of(images, drop_last=True),
            "val_dataloaders": loader_of(data.data.validation),
        },
    ):
        module = BernoulliVAE(data.shape, data.levels, **SMALL)
        trainer = trainer_of()
        trainer.fit(module, **arguments)
        found.append((weights(module), trainer.callback_metrics["validation_elbo"]))
    assert same(found[0][0], found[1][0]) and found[0][1] == found[1][1]


def test_each_block_of_validation_has_noise_of_its_own(data, trainer_of):
    module = MODELS["bernoulli_vae"](data).eval()
    (found,) = trainer_of().validate(module, data, verbose=False)
    blocks = enumerate(data.data.validation.split(100))
    with torch.no_grad():
        each = [module.model.terms(y, Noise(1, "validation", n)).elbo[0] for n, y in blocks]
    assert found["validation_elbo"] == pytest.approx(torch.cat(each).mean().item(), abs=1e-4)
    assert len(each) == 3


@pytest.mark.parametrize("name", ["aggregate_vae", "gated_exemplar_vae"])
def test_each_datums_own_component_is_left_out_also_with_a_plain_loader(name, trainer_of):
    """The batches of a loader against the same ones that say which data they hold."""
    data = TaskDataModule("digits-17")
    images = data.data.train[:300].unique(dim=0)
    make = MODELS.get(name, lambda data: NamedModel(name, data.shape, data.levels))
    if name == "gated_exemplar_vae":
        data, images = TaskDataModule("digits-binary"), (images > 8).byte().unique(dim=0)
    found = []
    for loader in (
        [Batch(images[index], index) for index in torch.arange(len(images)).split(50)],
        images.view(-1, 1, 8, 8).split(50),
    ):
        module = make(data)
        trainer_of(max_epochs=1).fit(module, Batches(loader))
        found.append(weights(module))
    assert same(*found)
    module = make(data)
    module.attach(images[:10])
    with pytest.raises(InputError, match="not in the training split"):
        module.training_step(images[10:20], 0)


@pytest.mark.parametrize("name", ["aggregate_vae", "realnvp"])
def test_models_made_of_the_training_split_find_it_in_a_plain_loader(name, data, trainer_of):
    images = data.data.train
    module, expected = MODELS[name](data), MODELS[name](data)
    expected.attach(images)
    loader = loader_of(images, shuffle=True)
    trainer_of(max_steps=0).fit(module, loader, loader_of(data.data.validation))
    if name == "realnvp":
        assert same(weights(module), weights(expected))
    else:
        assert torch.equal(module.model.prior.images, images)


def test_labels_beside_the_images_are_ignored(data, trainer_of):
    images = data.data.train[:200].view(-1, 1, 8, 8)
    labels = torch.zeros(200, dtype=torch.int64)
    module = BernoulliVAE(data.shape, data.levels, **SMALL)
    trainer = trainer_of(max_epochs=1)
    trainer.fit(module, DataLoader(TensorDataset(images, labels), 50))
    assert trainer.global_step == 4


@pytest.mark.parametrize(
    "images, message",
    [
        (torch.rand(20, 1, 8, 8), "float32.*where uint8 images"),
        (torch.zeros(20, 1, 9, 9, dtype=torch.uint8), "81 values, where the model's have 64"),
        (torch.full((20, 1, 8, 8), 9, dtype=torch.uint8), "a pixel of 9, .* the levels 0 to 1"),
        (torch.zeros(20, dtype=torch.uint8), "where uint8 images"),
    ],
)
def test_images_that_are_not_the_models_are_refused_in_a_line(images, message, data, trainer_of):
    module = BernoulliVAE(data.shape, data.levels, **SMALL)
    with pytest.raises(InputError, match=message):
        trainer_of(max_epochs=1).fit(module, DataLoader(TensorDataset(images), 10))


@pytest.mark.parametrize(
    "options, steps",
    [
        ({"check_val_every_n_epoch": 2}, 22),
        ({"limit_val_batches": 0}, 22),
        ({"gradient_clip_val": 0.5}, 22),
        ({"accumulate_grad_batches": 4}, 6),
        ({"fast_dev_run": True}, 1),
        ({"max_steps": 5, "max_epochs": -1}, 5),
        ({"precision": "bf16-mixed"}, 22),
        ({"limit_train_batches": 3}, 6),
        ({"val_check_interval": 5}, 22),
        ({"overfit_batches": 2}, 4),
        ({"num_sanity_val_steps": 0}, 22),
        pytest.param({"detect_anomaly": True}, 22, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_what_a_trainer_can_do_works(options, steps, data, trainer_of):
    for name in ("bernoulli_vae", "aggregate_vae"):
        module, trainer = MODELS[name](data), trainer_of(**options)
        trainer.fit(module, data)
        assert trainer.global_step == steps == module.global_step
        assert all(value.isfinite() for value in trainer.callback_metrics.values())


def test_accumulated_gradients_are_the_mean_of_their_batches(data, trainer_of):
    class Gradients(Callback):
        def on_after_backward(self, trainer, module):
            passes.append([p.grad.clone() for p in module.parameters() if p.grad is not None])

        def on_before_optimizer_step(self, trainer, module, optimizer):
            stepped.append([p.grad.clone() for p in module.parameters() if p.grad is not None])

    passes, stepped = [], []
    trainer = trainer_of(max_steps=1, accumulate_grad_batches=3, callbacks=[Gradients()])
    trainer.fit(BernoulliVAE(data.shape, data.levels, **SMALL), data)
    (found,) = stepped
    assert len(passes) == 3 and all(map(torch.equal, found, passes[-1]))
    assert not any(torch.equal(first, last) for first, last in zip(passes[0], found))


def test_callbacks_and_loggers_see_what_they_expect(data, trainer_of, tmp_path):
    module = BernoulliVAE(
        data.shape, data.levels, **SMALL, optimization=Optimization(schedule="cosine")
    )
    best = ModelCheckpoint(monitor="validation_elbo", mode="max", every_n_epochs=1, save_top_k=-1)
    rates = LearningRateMonitor("epoch")
    trainer = trainer_of(
        max_epochs=4, callbacks=[best, rates], logger=CSVLogger(tmp_path), log_every_n_steps=1
    )
    trainer.fit(module, data)
    assert len(best.best_k_models) == 4
    lines = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    for column in ("train_elbo", "train_kl", "validation_elbo", "validation_kl", "lr-Adam"):
        assert column in lines[0].split(",")
    found = [float(row["lr-Adam"]) for row in table(lines) if row["lr-Adam"]]
    from math import cos, pi

    assert found == pytest.approx([1e-3 * 0.5 * (1 + cos(pi * e / 4)) for e in range(4)])


def table(lines):
    names = lines[0].split(",")
    return [dict(zip(names, line.split(","))) for line in lines[1:]]


def test_a_schedule_over_epochs_needs_their_number(data, trainer_of):
    module = BernoulliVAE(
        data.shape, data.levels, **SMALL, optimization=Optimization(schedule="cosine")
    )
    with pytest.raises(InputError, match="schedule: cosine needs Trainer\\(max_epochs"):
        trainer_of(max_steps=3, max_epochs=-1).fit(module, data)


@pytest.mark.parametrize("name", ["aggregate_vae", "bernoulli_vae"])
def test_a_training_that_is_resumed_gives_the_weights_of_one_that_was_not(name, data, trainer_of):
    whole, first, second = (MODELS[name](data) for _ in range(3))
    trainer_of(max_epochs=4).fit(whole, data)
    trainer = trainer_of(max_epochs=2)
    trainer.fit(first, data)
    path = trainer.checkpoint_callback.best_model_path
    trainer_of(max_epochs=4).fit(second, TaskDataModule("digits-binary"), ckpt_path=path)
    assert same(weights(whole), weights(second)) and whole.history == second.history


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
@pytest.mark.parametrize("name", ["aggregate_vae", "gated_exemplar_vae", "realnvp"])
def test_an_untrained_model_is_evaluated(method, name, data, trainer_of):
    make = MODELS.get(name, lambda data: NamedModel(name, data.shape, data.levels))
    trainer = trainer_of()
    result = getattr(trainer, method)(make(data), data)
    assert result


@pytest.mark.parametrize("name", ["aggregate_vae", "gated_exemplar_vae"])
def test_a_model_that_has_not_seen_its_data_says_so(name, data, trainer_of):
    make = MODELS.get(name, lambda data: NamedModel(name, data.shape, data.levels))
    with pytest.raises(InputError, match="training split.*attach"):
        trainer_of().test(make(data), loader_of(data.data.test), verbose=False)
    module = make(data)
    module.attach(data.data.train)
    assert trainer_of().test(module, loader_of(data.data.test), verbose=False)


def test_a_divergence_says_where(data, trainer_of):
    module = GaussianVAE(
        data.shape, data.levels, **SMALL, optimization=Optimization(learning_rate=1e30)
    )
    with pytest.raises(TrainingDiverged, match="became .* in step . of epoch 1"):
        trainer_of().fit(module, data)


def test_hyperparameters_are_plain_data(data):
    optimization = Optimization(learning_rate=0.5, beta=2.0)
    module = RealNVP(data.shape, data.levels, **SMALL, optimization=optimization, seed=4)
    found = copy.deepcopy(dict(module.hparams))
    assert found["optimization"]["learning_rate"] == 0.5 and found["seed"] == 4
    assert found["widths"] == [16] and found["shape"] == [1, 8, 8] and "model" not in found
    assert RealNVP(**found).optimization == optimization


def test_modules_pickle_and_copy(data, trainer_of, tmp_path):
    for name, make in MODELS.items():
        module = make(data)
        trainer_of(max_epochs=1).fit(module, data)
        back = pickle.loads(pickle.dumps(module))
        assert same(weights(back), weights(module)), name
        assert same(weights(copy.deepcopy(module)), weights(module)), name


def test_a_training_is_resumed_in_the_middle_of_an_epoch(data, trainer_of, tmp_path):
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1)
    trainer_of(max_epochs=1, callbacks=[saved]).fit(MODELS["bernoulli_vae"](data), data)
    path = next(tmp_path.glob("*step=5.ckpt"))
    module, trainer = MODELS["bernoulli_vae"](data), trainer_of()
    trainer.fit(module, data, ckpt_path=path)
    assert trainer.current_epoch == 2


def test_a_test_on_another_task_changes_no_model(data, trainer_of):
    module = MODELS["realnvp"](data)
    trainer_of(max_epochs=1).fit(module, data)
    before = weights(module)
    inverted = task_from_arrays(
        1 - data.data.train.view(-1, 8, 8), 1 - data.data.test.view(-1, 8, 8), 2
    )
    trainer = trainer_of()
    (by_module,) = trainer.test(module, TaskDataModule(inverted), verbose=False)
    (by_loader,) = trainer.test(module, loader_of(inverted.test), verbose=False)
    assert by_module == by_loader and same(before, weights(module))
    module = MODELS["aggregate_vae"](data)
    trainer_of(max_epochs=1).fit(module, data)
    trainer.test(module, TaskDataModule(inverted), verbose=False)
    assert torch.equal(module.model.prior.images, data.data.train)


@pytest.mark.parametrize("name", MODELS)
def test_data_of_other_levels_or_size_get_a_line(name, data, trainer_of):
    module, other = MODELS[name](data), TaskDataModule("digits-17")
    for act in (trainer_of().fit, trainer_of().test, trainer_of().validate):
        with pytest.raises(InputError, match="has images of .* 17 levels, and the model is for"):
            act(module, other)
    with pytest.raises(InputError, match="made for images of"):
        bench.evaluate(module.model, other.data)
    grey = other.data.train
    late = torch.cat([data.data.train[:150], grey[:50]])
    with pytest.raises(InputError, match="a pixel of"):
        trainer_of(max_epochs=1).fit(module, loader_of(late))
    with pytest.raises(InputError, match="a pixel of"):
        module.attach(grey)
    with pytest.raises(InputError, match="30 values"):
        module.attach(data.data.train[:, :30])
    module.eval()
    for y in (grey[:5].float(), data.data.test[:5, :30], data.data.test[:5].view(-1, 1, 8, 8)):
        with pytest.raises(InputError, match="images: .* is needed"):
            importance_weighted_bound(module.model, y, 2, "key")
    with pytest.raises(InputError, match="samples: 0 is less than 1"):
        importance_weighted_bound(module.model, data.data.test[:5], 0, "key")


def test_alternating_training_leaves_no_half_behind_and_frozen_parts_stay_frozen(data, trainer_of):
    class Interrupted(Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if trainer.global_step == 1:
                raise RuntimeError("interrupted")

    module = GaussianVAE(
        data.shape,
        data.levels,
        **SMALL,
        optimization=Optimization(encoder_steps=3, decoder_steps=3),
    )
    with pytest.raises(RuntimeError, match="interrupted"):
        trainer_of(callbacks=[Interrupted()]).fit(module, data)
    before = weights(module)
    trainer_of(max_epochs=1).fit(module, data)
    after = weights(module)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(n.startswith("posterior") for n in moved)
    assert any(n.startswith("decoder_network") for n in moved)
    module = MODELS["bernoulli_vae"](data)
    module.model.decoder_network.requires_grad_(False)
    before = weights(module)
    for _ in range(2):
        trainer_of(max_epochs=1).fit(module, data)
    assert not any(p.requires_grad for p in module.model.decoder_network.parameters())
    for name, value in weights(module).items():
        assert torch.equal(value, before[name]) or not name.startswith("decoder_network")


def test_loaders_of_every_kind_give_the_training_split(data, trainer_of):
    images = data.data.train[:200].view(-1, 1, 8, 8)
    whole, found = MODELS["realnvp"](data), []
    whole.attach(images)
    batches = DataLoader(list(images.split(50)), batch_size=None)
    for loader in (batches, loader_of(images, 64, shuffle=True, drop_last=True)):
        module = MODELS["realnvp"](data)
        trainer_of(max_steps=0).fit(module, loader)
        found.append(same(weights(module), weights(whole)))
    assert found == [True, True]

    class Endless(IterableDataset):
        def __iter__(self):
            while True:
                yield images[0]

    module, loader = MODELS["realnvp"](data), DataLoader(Endless(), 50)
    with pytest.raises(InputError, match="may never end.*attach"):
        trainer_of(limit_train_batches=3).fit(module, loader)
    module.attach(images)
    trainer = trainer_of(limit_train_batches=3, max_epochs=1)
    trainer.fit(module, loader)
    assert trainer.global_step == 3
    with pytest.raises(InputError, match="has no batch"):
        trainer_of().fit(MODELS["realnvp"](data), loader_of(images[:0]))
    with pytest.raises(InputError, match="it has no images"):
        trainer_of().fit(MODELS["realnvp"](data), Batches([images[:0], images]))
    with pytest.raises(InputError, match="batch_size: 0"):
        trainer_of().fit(MODELS["realnvp"](data), TaskDataModule("digits-binary", 0))
