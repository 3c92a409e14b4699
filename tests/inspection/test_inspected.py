"""`bench inspect`: one trained VAE on a page."""

import pandas as pd
import pytest
import torch
from PIL import Image

from bench import Task, load_task
from bench.__main__ import main
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.labels import labels_beside_images, labels_of_test, names_of_classes
from bench.errors import InputError
from bench.estimators.estimate import Estimate
from bench.inspection.inspected import (
    encoded,
    inspect_model,
    most_informative,
    principal,
    traversed,
)
from bench.inspection.pictures import as_image
from bench.inspection.sections import shown
from bench.runs.trained import Trained

TINY = ["--model.encoder.widths", "[16]", "--model.decoder_network.widths", "[16]"]


@pytest.fixture(scope="module")
def model():
    options = ["--data", "digits-binary", "--model", "bernoulli_vae", "--seed", "1", *TINY]
    return build_model(parse_run(options), (1, 8, 8), 2).eval()


def test_principal_axes_hold_the_variance():
    torch.manual_seed(0)
    means = torch.randn(500, 4).double() * torch.tensor([0.1, 3.0, 1.0, 0.1])
    points, (first, second) = principal(means)
    centred = means - means.mean(0)
    assert first > 0.85 and 0.05 < second < 0.15
    torch.testing.assert_close(points[:, 0].var(), means[:, 1].var(), atol=0.05, rtol=0.02)
    assert torch.corrcoef(torch.stack([points[:, 0], centred[:, 1]]))[0, 1] > 0.99
    line, shares = principal(means[:, :1])
    assert line.shape == (500, 2) and shares == (1.0, 0.0)


def test_dimensions_are_ordered_by_what_they_tell():
    means = torch.tensor([[0.0, -1.0, 5.0], [0.0, 1.0, -5.0]]).double()
    scales = torch.tensor([[1.0, 0.1, 10.0], [1.0, 0.1, 10.0]]).double()
    assert most_informative(means, scales) == [1, 2, 0]


def test_a_traversal_moves_one_dimension(model):
    means, _ = encoded(model, load_task(Task("digits", "threshold")))
    pictures, [(low, high)] = traversed(model, means, [3])
    z = means.mean(0).repeat(9, 1).float()
    z[:, 3] = torch.linspace(low, high, 9)
    torch.testing.assert_close(pictures[0], model.decode_mean(z))
    assert low < means[:, 3].mean() < high


def test_a_flow_has_nothing_to_inspect():
    options = ["--data", "digits-binary", "--model", "realnvp"]
    data, flow = (
        load_task(Task("digits", "threshold")),
        build_model(parse_run(options), (1, 8, 8), 2),
    )
    trained = Trained(flow, data, {"seed": 1}, "realnvp", 1)
    with pytest.raises(InputError, match="annealing is for VAEs"):
        inspect_model(trained, 20, lambda share, text: None)


def test_labels_are_in_the_order_of_the_test_split():
    from sklearn.datasets import load_digits

    data, digits = load_task(Task("digits")), load_digits()
    by_image = {
        image.tobytes(): label for image, label in zip(digits.images.astype("uint8"), digits.target)
    }
    labels = labels_of_test(Task("digits"))
    assert [by_image[image.numpy().tobytes()] for image in data.test] == labels.tolist()
    assert names_of_classes(Task("digits"))[7] == "7"
    assert names_of_classes(Task("fashion_mnist"))[9] == "boot"


def test_labels_beside_images_are_read_and_checked(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    monkeypatch.setattr("bench.data.labels.find_file", lambda dataset, name: folder / name)
    assert labels_beside_images("mnist") is None
    good = (
        (2049).to_bytes(4, "big")
        + (10_000).to_bytes(4, "big")
        + bytes(i % 10 for i in range(10_000))
    )
    file = folder / "t10k-labels-idx1-ubyte"
    file.write_bytes(good)
    assert labels_beside_images("mnist")[:12].tolist() == [*range(10), 0, 1]
    for bad in (b"\0" + good[1:-1] + b"\x0b", bytes(4) + good[4:], good[:-1]):
        file.write_bytes(bad)
        with pytest.raises(InputError, match="labels"):
            labels_beside_images("mnist")


def test_numbers_are_rounded_to_their_error():
    estimate = Estimate(-84.123456, 0.0003, 0.1, 100, 5)
    assert shown(estimate) == ("−84.123", "0.001")
    assert shown(estimate._replace(stderr=0.3)) == ("−84.12", "0.60")
    assert shown(estimate._replace(stderr=0.6)) == ("−84.1", "1.2")
    assert shown(estimate._replace(stderr=6.0)) == ("−84", "12")
    assert shown(estimate._replace(stderr=None)) == ("−84.12", "not known")


def test_an_image_has_its_place_and_its_colours():
    values = torch.arange(12)  # three channels of 2 × 2
    image = as_image(values, (3, 2, 2), 12)
    assert image.shape == (2, 2, 3) and image[0, 1].tolist() == pytest.approx(
        [1 / 11, 5 / 11, 9 / 11]
    )
    assert as_image(torch.tensor([0, 1, 1, 0]), (1, 2, 2), 2)[0, 1].tolist() == [1, 1, 1]


@pytest.mark.long
def test_the_command_writes_the_page_and_numbers_that_agree(tmp_path, capsys):
    words = [
        "--data",
        "digits-binary",
        "--model",
        "bernoulli_vae",
        *TINY,
        "--trainer.max_epochs",
        "2",
    ]
    assert main(["train", *words, "--output", str(tmp_path / "runs"), "--wandb", "disabled"]) == 0
    [checkpoint] = (tmp_path / "runs").glob("runs/*/best.ckpt")
    out = tmp_path / "out"
    inspect = ["inspect", str(checkpoint), "--images", "30", "--out", str(out), "--beside"]
    assert main([*inspect, str(tmp_path / "nowhere")]) == 2 and not out.exists()
    assert "neither record.json nor runs/KEY/record.json" in capsys.readouterr().err
    out.mkdir()  # as after an earlier inspection
    assert main([*inspect, str(tmp_path / "runs")]) == 0
    assert "approximation gap" in capsys.readouterr().out
    table = pd.read_csv(out / "inspection.csv").set_index("quantity")["value"]
    parts = table["approximation_gap"] + table["amortization_gap"]
    assert table["inference_gap"] == pytest.approx(parts, abs=1e-6)
    assert table["sandwich_gap"] == pytest.approx(
        table["log_likelihood_upper"] - table["log_likelihood_lower"], abs=1e-6
    )
    curve = pd.read_csv(out / "rate-distortion.csv")
    annealed, encoders = curve[curve["kind"] == "annealed"], curve[curve["kind"] == "encoder"]
    assert annealed["beta"].is_monotonic_increasing and (annealed["beta"] == 1).any()
    # The same encoder on 30 test images, and on all of them as its record says.
    assert encoders["n"].tolist() == [30, 300] and encoders["key"].nunique() == 1
    assert encoders["distortion_nats"].iloc[0] == pytest.approx(
        encoders["distortion_nats"].iloc[1], abs=4
    )
    page = (out / "inspection.html").read_text()
    assert page.count("<h2>") == 6 and page.count("data:image/png;base64,") == 4
    assert f"--beside {tmp_path / 'runs'}" in page and page.count("<td>bernoulli_vae") == 1
    for name in ("rate-distortion", "extremes", "latent-map", "traversals"):
        with Image.open(out / "figures" / f"{name}.png") as picture:
            assert picture.width > 300


@pytest.mark.parametrize("images, line", [("0", "from 2 to the"), ("99999", "from 2 to the")])
@pytest.mark.long
def test_wrong_numbers_of_images_get_a_line(images, line, tmp_path, capsys):
    words = [
        "--data",
        "digits-binary",
        "--model",
        "bernoulli_vae",
        *TINY,
        "--trainer.max_epochs",
        "1",
    ]
    assert main(["train", *words, "--output", str(tmp_path / "runs"), "--wandb", "disabled"]) == 0
    [checkpoint] = (tmp_path / "runs").glob("runs/*/best.ckpt")
    assert main(["inspect", str(checkpoint), "--images", images, "--out", str(tmp_path / "o")]) == 2
    assert line in capsys.readouterr().err and not (tmp_path / "o").exists()
