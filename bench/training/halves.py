"""The two halves of a model that alternating training moves one after the other."""

from torch import nn

from bench.errors import InputError
from bench.models.terms import Model
from bench.settings import Optimization


class Halves:
    """The trained parameters of a model: those of its encoder, and the rest.

    Raises:
        InputError: They are to be trained in turn, and one of them is empty.
    """

    def __init__(self, model: Model, optimization: Optimization):
        self.model, self.optimization = model, optimization
        self.find()
        if optimization.encoder_steps and not (self.encoder and self.rest):
            raise InputError(
                f"{optimization.group}.encoder_steps: this model has no encoder and decoder to "
                f"train in turn; leave it and {optimization.group}.decoder_steps at 0"
            )

    def find(self) -> None:
        """Note which parameters are trained, and which of them are the encoder's."""
        encoder = {id(p) for p in self.model.encoder_parameters()}
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.encoder = [p for p in trained if id(p) in encoder]
        self.rest = [p for p in trained if id(p) not in encoder]

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.encoder, *self.rest]

    def select(self, step: int) -> None:
        """Let only the encoder, or only the rest, move in the ``step``-th step of the training."""
        encoder_steps, decoder_steps = (
            self.optimization.encoder_steps,
            self.optimization.decoder_steps,
        )
        if not encoder_steps:
            return
        moves_encoder = step % (encoder_steps + decoder_steps) < encoder_steps
        for parameters, moves in ((self.encoder, moves_encoder), (self.rest, not moves_encoder)):
            for parameter in parameters:
                parameter.requires_grad_(moves)

    def release(self) -> None:
        """Let both halves move again."""
        if self.optimization.encoder_steps:
            for parameter in self.parameters:
                parameter.requires_grad_(True)
