import pytest

from bench.errors import InputError
from bench.sweep.matrix import expand

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
    cells, resources = expand(GOOD, "x.yaml")
    assert len(cells) == 2 * 2 + (2 * 2 * 2 * 2 - 4)
    references = [cell.model for cell in cells[:4]]
    assert references == ["uniform", "independent_pixels"] * 2
    assert not any(c.data == "digits-17" and c.model.startswith("bernoulli") for c in cells)
    assert (resources.cpus, resources.gpus) == (1, None)


def test_further_axes_name_the_rows_and_overrides_reach_the_options():
    cells, _ = expand(GOOD, "x.yaml")
    cell = next(c for c in cells if c.model.startswith("bernoulli"))
    assert cell.model == "bernoulli_vae latent_dimensions=2"
    options = dict(zip(cell.arguments[::2], cell.arguments[1::2]))
    assert options["--model.latent_dimensions"] == "2" and options["--trainer"] == "digits"
    assert options["--model.encoder.widths"] == str([8] * 40)  # long values are not cut off


def changed(**changes):
    return GOOD | changes


BAD = [
    ("text", "a sweep is a mapping"),
    (changed(matrx={}), "unknown section 'matrx'"),
    (changed(matrix=None), "the section 'matrix'"),
    (changed(matrix={"data": ["digits-17"]}), "no axis 'model'"),
    (
        changed(matrix=GOOD["matrix"] | {"seed": []}),
        "matrix.seed is no list of values, or an empty",
    ),
    (changed(matrix=GOOD["matrix"] | {"seed": 3}), "matrix.seed is no list"),
    (changed(matrix=GOOD["matrix"] | {"sed": [1]}), "matrix.sed is no axis"),
    (changed(matrix=GOOD["matrix"] | {"seed": [1, 1]}), "holds a value twice"),
    (changed(matrix=GOOD["matrix"] | {"model": ["uniform"]}), "in every sweep already"),
    (changed(exclude=[{"data": "mnist-256"}]), "is not in the matrix, so it never applies"),
    (changed(exclude=[{"date": "digits-17"}]), "'date' is no axis"),
    (changed(exclude={}), "list of conditions"),
    (changed(overrides=[{"when": {"model": "realnvp"}, "set": {}}]), "not in the matrix"),
    (changed(overrides=[{"set": {"a": 1}}]), "an override is"),
    (changed(resources={"gpu": 1}), "resources are cpus and gpus"),
    (changed(resources={"cpus": 0}), "resources.cpus: 0 is no number"),
    (changed(resources={"gpus": float("nan")}), "resources.gpus"),
]


@pytest.mark.parametrize("sweep, message", BAD)
def test_mistakes_get_one_line(sweep, message):
    with pytest.raises(InputError) as error:
        expand(sweep, "x.yaml")
    assert message in str(error.value) and str(error.value).startswith("x.yaml: ")
    assert "\n" not in str(error.value)
