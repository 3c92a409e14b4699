"""Work of peers, in their own environment: run as a script, imports nothing of bench.

Reads a JSON list [name, options] per line, does that work once, and answers with its seconds, or
with the error as a text.
"""

# The peers' libraries are installed in their environment alone, so the checker sees none of them:
# mypy: disable-error-code="import-not-found", allow-subclassing-any

import contextlib
import io
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

WIDTHS = [256, 256]
Work = Callable[[], object]


def mlp(sizes: Sequence[int], last_activation: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*(layers if last_activation else layers[:-1]))


def pythae(images: int, batch: int, latent: int, hidden: int, device: str = "cpu") -> Work:
    """Return an epoch of pythae's own trainer, on the CPU or a GPU, on a VAE with one hidden layer."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = mlp([784, hidden], last_activation=True)
            self.embedding, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.layers(x.reshape(-1, 784))
            return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = mlp([latent, hidden, 784])

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).sigmoid().reshape(-1, 1, 28, 28))

    data = torch.rand(images, 1, 28, 28).round()
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=latent, reconstruction_loss="bce")
    folder = tempfile.mkdtemp()
    training = BaseTrainerConfig(
        output_dir=folder,
        per_device_train_batch_size=batch,
        num_epochs=1,
        no_cuda=device == "cpu",
        learning_rate=1e-3,
    )
    trainer = BaseTrainer(
        VAE(config, Encoder(), Decoder()), BaseDataset(data, torch.ones(images)), None, training
    )
    return lambda: trainer.train()


def steps(
    log_prob: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    batch: int,
    dimensions: int,
    count: int,
) -> Work:
    """Return ``count`` training steps of a flow."""
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)
    x = torch.randn(batch, dimensions)

    def train() -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (-log_prob(x).mean()).backward()
            optimizer.step()

    return train


def zuko(dimensions: int, couplings: int, batch: int, count: int) -> Work:
    import zuko as library

    flow = library.flows.RealNVP(dimensions, transforms=couplings, hidden_features=WIDTHS)
    return steps(lambda x: flow().log_prob(x), flow.parameters(), batch, dimensions, count)


def nflows(dimensions: int, couplings: int, batch: int, count: int) -> Work:
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform
    from nflows.utils import torchutils

    class Net(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.layers = mlp([inputs, *WIDTHS, outputs])

        def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
            return self.layers(x)

    masks = [
        torchutils.create_alternating_binary_mask(dimensions, i % 2 == 0) for i in range(couplings)
    ]
    parts = [AffineCouplingTransform(mask, Net) for mask in masks]
    flow = Flow(CompositeTransform(parts), StandardNormal([dimensions]))
    return steps(flow.log_prob, flow.parameters(), batch, dimensions, count)


def normflows(dimensions: int, couplings: int, batch: int, count: int) -> Work:
    import normflows as library

    parts = []
    for _ in range(couplings):
        net = library.nets.MLP([dimensions // 2, *WIDTHS, dimensions])
        parts += [
            library.flows.AffineCouplingBlock(net),
            library.flows.Permute(dimensions, mode="swap"),
        ]
    flow = library.NormalizingFlow(
        library.distributions.DiagGaussian(dimensions, trainable=False), parts
    )
    return steps(flow.log_prob, flow.parameters(), batch, dimensions, count)


def keops(n: int, points: int, dimensions: int) -> Work:
    """Return the log-density of a mixture of n normals at some points, up to a constant."""
    from pykeops.torch import LazyTensor

    loc, scale = torch.randn(n, dimensions), torch.full((n, dimensions), 0.3)
    z = loc[:points] + scale[:points] * torch.randn(points, dimensions)
    x = LazyTensor(z[:, None, :].contiguous())
    y = LazyTensor(loc[None].contiguous())
    s = LazyTensor((1 / scale)[None].contiguous())
    c = LazyTensor((-scale.log().sum(1))[None, :, None].contiguous())
    return lambda: (c - (((x - y) * s) ** 2).sum(-1) / 2).logsumexp(1)


WORK: dict[str, Callable[..., Work]] = {
    "pythae": pythae,
    "zuko": zuko,
    "nflows": nflows,
    "normflows": normflows,
    "keops": keops,
}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    answers = sys.stdout
    prepared: dict[str, Work] = {}
    for line in sys.stdin:
        name, options = json.loads(line)
        answer: float | str
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                if line not in prepared:
                    prepared[line] = WORK[name](**options)
                started = time.perf_counter()
                prepared[line]()
                answer = time.perf_counter() - started
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
