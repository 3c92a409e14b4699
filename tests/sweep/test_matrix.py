import pytest

from bench.configuration.files import resolve
from bench.errors import InputError
from bench.report.published import published
from bench.sweep.matrix import expand, selected
from bench.sweep.resources import Request, Resources, refuse_what_never_fits, request_of
from bench.system.yaml_text import read_yaml
from tests.limits import limited

GOOD = {
    "matrix": {
        "data": ["digits-17", "digits-binary"],
        "model": ["gaussian_vae", "bernoulli_vae"],
        "seed": [1, 2],
        "model.latent_dimensions": [2, 10],
    },
    "exclude": [{"data": "digits-17", "model": "bernoulli_vae"}],
    "trainer": "digits",
    "overrides": [
        {"when": {"model": "bernoulli_vae"}, "set": {"model.encoder.widths": [8] * 40}},
    ],
}


def test_a_matrix_is_its_product_less_what_is_excluded_and_two_references_a_task():
    cells = expand(GOOD, "x.yaml")
    assert len(cells) == 2 * 2 + (2 * 2 * 2 * 2 - 4)
    references = [cell.model for cell in cells[:4]]
    assert references == ["uniform", "independent_pixels"] * 2
    assert not any(c.data == "digits-17" and c.model.startswith("bernoulli") for c in cells)
    assert all(cell.resources == Resources() for cell in cells)


def test_further_axes_name_the_rows_and_overrides_reach_the_options():
    cells = expand(GOOD, "x.yaml")
    cell = next(c for c in cells if c.model.startswith("bernoulli"))
    assert cell.model == "bernoulli_vae latent_dimensions=2"
    options = dict(zip(cell.arguments[::2], cell.arguments[1::2]))
    assert options["--model.latent_dimensions"] == "2" and options["--trainer"] == "digits"
    assert options["--model.encoder.widths"] == str([8] * 40)  # long values are not cut off


def test_a_trainer_named_in_an_override_replaces_the_sweeps():
    rule = {"when": {"model": "bernoulli_vae"}, "set": {"trainer": "flow", "trainer.beta": 2}}
    cells = expand(changed(overrides=[rule]), "x.yaml")
    words = next(c for c in cells if c.model.startswith("bernoulli")).arguments
    assert [b for a, b in zip(words, words[1:]) if a == "--trainer"] == ["flow"]
    assert words.index("--trainer") < words.index("--trainer.beta")


def test_a_trainer_named_in_a_later_override_starts_without_the_options_of_earlier_ones():
    everywhere = {
        "when": {"data": "digits-binary"},
        "set": {"trainer.max_epochs": 3, "model.beta": 2},
    }
    flow = {"when": {"model": "bernoulli_vae"}, "set": {"trainer": "flow", "trainer.patience": 9}}
    cells = expand(changed(overrides=[everywhere, flow]), "x.yaml")
    words = next(c for c in cells if c.model.startswith("bernoulli")).arguments
    options = dict(zip(words[::2], words[1::2]))
    assert "--trainer.max_epochs" not in options
    assert options["--trainer.patience"] == "9" and options["--model.beta"] == "2"


def changed(**changes):
    return GOOD | changes


def test_an_override_may_leave_its_resources_empty():
    given = [{"when": {"model": "bernoulli_vae"}, "resources": None}]
    cells = expand(changed(overrides=given, resources={"cpus": 2}), "x.yaml")
    assert {cell.resources for cell in cells[4:]} == {Resources(cpus=2)}


BAD = [
    (changed(matrix=GOOD["matrix"] | {"seed": {"from": 3, "to": 1}}), "has no value, or more"),
    (changed(matrix=GOOD["matrix"] | {"seed": {"from": 0, "to": 1e9}}), "has no value, or more"),
    (changed(matrix=GOOD["matrix"] | {"seed": {"from": 3}}), "a range is"),
    (changed(zip={"seed": [1]}), "'zip' is a list of mappings"),
    (changed(zip=[{"seed": [1], "trainer.beta": [1]}]), "seed is an axis twice"),
    (changed(zip=[{"trainer.beta": [1, 2], "trainer.patience": [1]}]), "as many values each"),
    (changed(zip=[{"trainer.beta": [1, 1], "trainer.patience": [1, 1]}]), "a combination twice"),
    (changed(overrides=[{"when": {"seed": 1}, "resources": {"gpu": 1}}]), "resources are"),
    (changed(resources={"gpus": 1.5}), "neither whole nor below 1"),
    (changed(resources={"cpus": True}), "is not a number"),
    ("text", "a sweep is a mapping"),
    (changed(matrx={}), "unknown section 'matrx'"),
    (changed(matrix=None), "the section 'matrix'"),
    (changed(matrix={"data": ["digits-17"]}), "no axis 'model'"),
    (
        changed(matrix=GOOD["matrix"] | {"seed": []}),
        "matrix.seed is neither a list of values nor a range, or it is empty",
    ),
    (changed(matrix=GOOD["matrix"] | {"seed": 3}), "matrix.seed is neither a list"),
    (changed(matrix=GOOD["matrix"] | {"sed": [1]}), "matrix.sed is not an axis"),
    (changed(matrix=GOOD["matrix"] | {"seed": [1, 1]}), "has a value twice"),
    (changed(matrix=GOOD["matrix"] | {"model": ["uniform"]}), "in every sweep already"),
    (changed(matrix=GOOD["matrix"] | {"model": ["my/uniform.yaml"]}), "in every sweep already"),
    (
        changed(matrix=GOOD["matrix"] | {"model": ["a/vae.yaml", "b/vae.yml"]}),
        "a/vae.yaml and b/vae.yml have one name in the tables; rename a file",
    ),
    (changed(exclude=[{"data": "mnist-256"}]), "is not in the matrix, so it never applies"),
    (changed(exclude=[{"date": "digits-17"}]), "'date' is not an axis"),
    (changed(exclude={}), "list of conditions"),
    (changed(overrides=[{"when": {"model": "realnvp"}, "set": {}}]), "not in the matrix"),
    (changed(overrides=[{"set": {"a": 1}}]), "an override is"),
    (changed(resources={"gpu": 1}), "resources are cpus, gpus, memory_gib"),
    (changed(resources={"cpus": 0}), "resources.cpus: 0 is not a number"),
    (changed(resources={"gpus": float("nan")}), "resources.gpus"),
]


@pytest.mark.parametrize("sweep, message", BAD)
def test_mistakes_get_one_line(sweep, message):
    with pytest.raises(InputError) as error:
        expand(sweep, "x.yaml")
    assert message in str(error.value) and str(error.value).startswith("x.yaml: ")
    assert "\n" not in str(error.value)


def test_an_axis_may_be_a_range_with_both_ends():
    matrix = {
        "data": ["digits-17"],
        "model": ["gaussian_vae"],
        "seed": {"from": 1, "to": 3},
        "trainer.beta": {"from": 0.1, "to": 0.4, "step": 0.1},
    }
    points = [cell.point for cell in expand({"matrix": matrix}, "x.yaml")[2:]]
    assert len(points) == 3 * 4
    assert {point["seed"] for point in points} == {1, 2, 3}
    assert {point["trainer.beta"] for point in points} == {0.1, 0.2, 0.3, 0.4}


def test_linked_axes_go_through_their_values_together():
    sweep = {
        "matrix": {"model": ["gaussian_vae"], "seed": [1, 2]},
        "zip": [{"data": ["digits-17", "mnist-256"], "trainer.max_epochs": [5, 1]}],
        "exclude": [{"data": "mnist-256", "seed": 2}],
    }
    cells = expand(sweep, "x.yaml")
    assert [cell.data for cell in cells[:4]] == ["digits-17"] * 2 + ["mnist-256"] * 2
    pairs = {(c.data, c.point["trainer.max_epochs"], c.point["seed"]) for c in cells[4:]}
    assert pairs == {("digits-17", 5, 1), ("digits-17", 5, 2), ("mnist-256", 1, 1)}


def test_rules_give_models_resources_of_their_own():
    sweep = GOOD | {
        "resources": {"gpus": 1},
        "overrides": [{"when": {"model": "bernoulli_vae"}, "resources": {"gpus": 0.25}}],
    }
    cells = expand(sweep, "x.yaml")[4:]
    assert {(c.point["model"], c.resources.gpus) for c in cells} == {
        ("gaussian_vae", 1),
        ("bernoulli_vae", 0.25),
    }


def test_only_selects_by_any_axis():
    cells = expand(GOOD, "x.yaml")
    chosen = selected(cells, "task=digits-binary model=bernoulli_vae,uniform", "x")
    assert {(c.data, c.point["model"]) for c in chosen} == {
        ("digits-binary", "bernoulli_vae"),
        ("digits-binary", "uniform"),
    }
    assert len(selected(cells, "seed=2 model.latent_dimensions=10", "x")) == 3
    for wrong in ("modle=realnvp", "model", "seed=7", " "):
        with pytest.raises(InputError, match="only: "):
            selected(cells, wrong, "x")


CONFIG = {"trainer": {"devices": 1, "threads": 2}}


def test_a_run_is_given_a_core_for_each_thread_and_a_gpu_for_each_device():
    assert request_of(Resources(), CONFIG, has_gpus=False) == Request(2, 0)
    four = {"trainer": {"devices": 4, "threads": 1}}
    assert request_of(Resources(), four, has_gpus=True) == Request(4, 4)
    assert request_of(Resources(gpus=0.25, memory_gib=3), CONFIG, True) == Request(2, 0.25, 3)
    with pytest.raises(InputError, match="it needs 4, or 0"):
        request_of(Resources(gpus=0.5), four, has_gpus=True)


def test_what_no_machine_has_is_refused():
    refuse_what_never_fits([Request(4, 1)], [(2, 8, 1.0), (64, 1, 1.0)])
    # Together they would do; no single one does.
    with pytest.raises(InputError, match="no machine has them"):
        refuse_what_never_fits([Request(4, 2)], [(2, 8, 1.0), (64, 1, 1.0)])
    with pytest.raises(InputError, match="8 GiB"):
        refuse_what_never_fits([Request(1, 0, 8)], [(2, 8, 1.0)])


def test_more_runs_than_anyone_does_are_refused_at_once_and_ten_thousand_are_not():
    numbers = {"from": 1, "to": 100_000}
    matrix = {"data": ["digits-17"], "model": ["gaussian_vae"]}
    with limited(seconds=20, mebibytes=512):
        with pytest.raises(InputError, match="has 10,000,000,000 runs, more than 100,000"):
            expand({"matrix": matrix | {"seed": numbers, "trainer.beta": numbers}}, "x.yaml")
        wide = {"matrix": matrix | {"seed": numbers}, "exclude": [{"seed": list(range(1, 50_000))}]}
        with pytest.raises(InputError, match="name too many values"):
            expand(wide, "x.yaml")
        hundred = {"from": 1, "to": 100}
        cells = expand({"matrix": matrix | {"seed": hundred, "trainer.beta": hundred}}, "x.yaml")
    assert len(cells) == 10_000 + 2


def test_a_name_that_no_record_holds_is_refused_before_the_work():
    matrix = {"data": ["digits-17"], "model": ["gaussian_vae"], "model.encoder.widths": [[8] * 99]}
    with pytest.raises(InputError, match="of a run has more than 300 characters"):
        expand({"matrix": matrix | {"model.widths": [[16] * 99]}}, "x.yaml")


def test_every_published_number_belongs_to_a_run_of_its_sweep():
    asked: dict[str, set[tuple[str, str]]] = {}
    for entry in published():
        if entry.sweep not in asked:
            path = resolve("sweep", entry.sweep)
            cells = expand(read_yaml(path), path.name)
            asked[entry.sweep] = {(cell.data, cell.model) for cell in cells}
        assert (entry.task, entry.model) in asked[entry.sweep], entry


def test_a_model_of_a_file_has_the_files_name_in_the_tables():
    matrix = {"data": ["digits-17"], "model": ["mine/my.vae.yaml"], "seed": [1]}
    cells = expand({"matrix": matrix}, "x.yaml")
    cell = cells[-1]
    assert cell.model == "my.vae" and "mine/my.vae.yaml" in cell.arguments
    for word in ("my.vae", "mine/my.vae.yaml"):
        assert selected(cells, f"model={word}", "x.yaml") == [cell]
