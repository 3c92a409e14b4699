"""The exemplar prior, and the nearest neighbours of training images that it uses in training."""

from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from bench.densities.normal import DiagonalNormal, NormalMixture, uniform_mixture
from bench.densities.priors import (
    Density,
    Encode,
    Prior,
    aggregated_posterior,
    attached,
)
from bench.noise import Noise
from bench.settings import check_at_least_one

# Rows whose distances to all images are computed at once, and columns of one block of the search.
ROWS, COLUMNS = 500, 200


class Exemplar(Prior):
    """p(z) = 1/n Σ_j N(z; μ(x_j), σ² I) over the training split, with one learned σ.

    Norouzi et al. 2020 (Exemplar VAE, section 3). The components have the posteriors' means, but
    not their variances, so that each can be wide enough to reach its datum's neighbours.

    In training, the sum leaves out a datum's own component and contains only the components of the
    nearest neighbours of the batch's data. This lowers the bound, but in many dimensions nearly all
    of a datum's density comes from its nearest components. The paper's code uses a random half of
    the split, or the neighbours of z in that half. Here neighbours are nearest in Euclidean distance
    of the images; they are found once and are independent of the training's progress. In
    evaluation, the sum runs over the whole training split.

    Args:
        neighbours: Number of nearest training images of each datum of a batch.
    """

    excludes_own = True
    is_encoded = True

    def __init__(self, latent_dimensions: int, dimensions: int, levels: int, neighbours: int = 4):
        super().__init__(latent_dimensions, dimensions, levels)
        check_at_least_one("model.prior.", neighbours=neighbours)
        self.neighbours = neighbours
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.register_buffer("images", None, persistent=False)
        self.nearest: Tensor | None = None

    def attach(self, training_images: Tensor) -> None:
        self.images, self.nearest = training_images, None

    @property
    def components(self) -> int:
        return len(attached(self.images))

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        images = attached(self.images)
        if index is None:
            return uniform_mixture(self.around(aggregated_posterior(encode, images).components))
        if self.nearest is None:
            self.nearest = nearest_images(images, self.neighbours)
        chosen = self.nearest[of_all_ranks(index, noise.world)].flatten().sort().values
        # Two data may share a neighbour. Its copies stay, without weight, because a GPU would have to
        # wait for the number of different ones.
        is_copy = F.pad(chosen[1:] == chosen[:-1], (1, 0))
        weights = torch.full((len(chosen),), -log(len(images) - 1), device=chosen.device)
        weights = weights.masked_fill(is_copy, -torch.inf)
        components = self.around(encode(images.index_select(0, chosen)))
        return PartOfMixture(NormalMixture(components, weights), index[:, None] == chosen)

    def around(self, posteriors: DiagonalNormal) -> DiagonalNormal:
        """Return normals with the posteriors' means and the learned σ."""
        return DiagonalNormal(posteriors.loc, self.log_scale.expand_as(posteriors.loc))


@dataclass(frozen=True)
class PartOfMixture:
    """Part of a mixture, without the components ``excluded`` (batch, components), unnormalized."""

    part: NormalMixture
    excluded: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Return a lower bound of log p(z) in nats for z (..., batch, dimensions)."""
        pairs = self.part.pairs(z).masked_fill(self.excluded, -torch.inf)
        return pairs.logsumexp(-1).to(z.dtype)

    def sample(self, n: int, noise: Noise) -> Tensor:
        raise NotImplementedError("only training uses a part of a mixture, and it draws no samples")


def of_all_ranks(index: Tensor, world: int) -> Tensor:
    """Return the indices of the global batch, of which each of ``world`` ranks has a share."""
    if world == 1:
        return index
    shares = [torch.empty_like(index) for _ in range(world)]
    distributed.all_gather(shares, index)
    return torch.cat(shares)


@torch.no_grad()
def nearest_images(images: Tensor, k: int) -> Tensor:
    """Return the indices (n, k) of each image's k nearest others by Euclidean distance, of (n, D).

    k is n − 1 if there are no more. The k nearest images lie in the k blocks with the smallest
    minimal distances, so only those blocks are searched further. Distances are in float32. This is
    exact for binary images; squared distances of grey images may exceed 2²⁴, so that the order of
    two images whose distances are equal up to rounding may be wrong.
    """
    n = len(images)
    k = min(k, n - 1)
    x = images.float()
    blocks = -(-n // COLUMNS)
    # Scores −½‖x_i − x_j‖² + ½‖x_i‖²: the largest in a row is the nearest image's.
    padded = torch.cat([x, x.new_zeros(blocks * COLUMNS - n, x.shape[1])])
    offset = -0.5 * padded.square().sum(1)
    offset[n:] = -torch.inf
    found = []
    for first, rows in zip(range(0, n, ROWS), x.split(ROWS)):
        # With matrix products rounded to 8 bits, training would use other neighbours.
        with torch.autocast(x.device.type, enabled=False):
            scores = torch.addmm(offset, rows, padded.T)
        own = torch.arange(len(rows), device=x.device)
        scores[own, own + first] = -torch.inf
        scores = scores.view(len(rows), blocks, COLUMNS)
        near = scores.amax(2).topk(min(k, blocks), 1).indices
        among = scores.gather(1, near[:, :, None].expand(-1, -1, COLUMNS)).flatten(1)
        position = among.topk(k, 1).indices
        found.append(near.gather(1, position // COLUMNS) * COLUMNS + position % COLUMNS)
    return torch.cat(found)
