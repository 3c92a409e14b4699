"""A VAE of one's own: ``encode``, ``decode``, and which likelihood the decoder's outputs are for."""

from collections.abc import Callable
from functools import partial
from math import log, prod
from typing import Any

from bench import densities
from bench.adapters.adapted import Adapted, Wanted, versions
from bench.densities.decoders import Decoder
from bench.errors import InputError
from bench.library.external import ExternalVAE

LIKELIHOODS = {
    "Bernoulli": densities.Bernoulli,
    "Categorical": densities.Categorical,
    "DiscretizedLogistic": densities.DiscretizedLogistic,
    "DiscretizedGaussian": densities.DiscretizedGaussian,
}
KNOWN = f"{', '.join(LIKELIHOODS)}, Gaussian (decode gives mean and log σ), Gaussian:SIGMA or Gaussian:optimal"

# What PyTorch's batch normalization says in training mode of a single image.
BATCH = "more than 1 value per channel when training"


def likelihood_of(said: object) -> Callable[[int, int], Decoder]:
    """Return the likelihood of a name, or what the user gave as one.

    Raises:
        InputError: The name is unknown.
    """
    if callable(said):
        return said
    name, _, sigma = str(said).partition(":")
    if name in LIKELIHOODS and not sigma:
        return LIKELIHOODS[name]
    if name == "Gaussian" and sigma in ("", "decoder"):
        return densities.Gaussian
    if name == "Gaussian" and sigma == "optimal":
        return partial(densities.Gaussian, sigma="optimal")
    if name == "Gaussian":
        try:
            return partial(densities.Gaussian, sigma=float(sigma))
        except ValueError:
            pass
    raise InputError(f"likelihood: {said!r} is none of {KNOWN}")


def adapt_encoder_decoder(
    model: Any,
    wanted: Wanted,
    adapter: str = "encode and decode",
    said: object = None,
    packages: tuple[str, ...] = (),
) -> Adapted:
    """Return the VAE of an object with ``encode`` and ``decode``, see ``ExternalVAE``.

    Args:
        model: The object; its ``prior`` and ``flat`` are used if it has them.
        wanted: The images, and what the user says.
        adapter: Name of the adapter.
        said: The likelihood; None takes the option or the model's attribute.
        packages: The packages that the model is made with.

    Raises:
        InputError: Nobody said which likelihood, or the parts do not fit each other.
    """
    said = wanted.said(model, "likelihood") if said is None else said
    if said is None:
        raise InputError(
            f"likelihood: which one are the outputs of decode for? Give --likelihood, or the model an "
            f"attribute likelihood: {KNOWN}"
        )
    likelihood, prior = likelihood_of(said), getattr(model, "prior", None)
    flat, errors = getattr(model, "flat", None), []
    for takes_rows in (True, False) if flat is None else (bool(flat),):
        try:
            vae = ExternalVAE(
                wanted.shape,
                wanted.levels,
                model.encode,
                model.decode,
                likelihood,
                prior,
                takes_rows,
            )
            break
        except InputError:
            raise
        except Exception as error:  # somebody's own code may raise anything
            errors.append(
                f"{'(n, D)' if takes_rows else 'images'}: {type(error).__name__}: {error}"
            )
    else:
        hint = "; put batch normalization into evaluation mode" if BATCH in errors[0] else ""
        raise InputError(f"encode or decode fails for {'; for '.join(errors)}{hint}")
    name = said if isinstance(said, str) else type(vae.decoder).__name__
    return Adapted(
        vae,
        adapter,
        counted_of(vae, name, takes_rows),
        {"likelihood": name},
        versions(*packages),
    )


def counted_of(vae: ExternalVAE, likelihood: str, flat: bool) -> tuple[str, ...]:
    """Return what the bound of a VAE consists of, a line each."""
    D, levels = prod(vae.shape), vae.levels
    lines = [f"encode takes y / {levels - 1} in [0, 1], {'(n, D)' if flat else 'as images'}"]
    lines.append(f"log p(y|z): {likelihood} of the outputs of decode, summed over D = {D}")
    if vae.decoder.bound != "exact" and "Gaussian" in likelihood and "Disc" not in likelihood:
        lines.append(
            f"the density is of x = (y + u) / {levels}; − D log L = {-D * log(levels):.2f} nats"
        )
    lines.append(f"+ log p(z) of {vae.prior_name} − log q(z|y), both with weight 1")
    return tuple(lines)
