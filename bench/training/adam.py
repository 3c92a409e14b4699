"""Adam, one fused call for all parameters, without bookkeeping for each of them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """PyTorch's fused Adam (Kingma & Ba 2015): the same numbers and the same state in less time.

    PyTorch counts the steps of every parameter in a tensor of its own, and adding 1 to each of them
    takes as long as moving the weights of a small network. Here parameters that move together share
    one count.

    Args:
        parameters: What to move.
        learning_rate: The step size.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float):
        super().__init__(parameters, learning_rate, fused=True)
        self.moved: list[int] = []
        # A scaler of gradients skips steps that overflow; the fused kernel is not called with its state.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the parameters that have a gradient.

        Returns:
            What ``closure`` returns, which is called before and may compute the gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if moving:
                self._move(moving, group)
        return loss

    def _move(self, moving: list[Tensor], group: dict[str, Any]) -> None:
        # A look-up in `state` hashes a tensor: once for each parameter.
        states = [self.state[p] for p in moving]
        identities = [id(p) for p in moving]
        if identities != self.moved:
            self._share_counts(moving, states)
            self.moved = identities
        counts = [state["step"] for state in states]
        for count in {count.data_ptr(): count for count in counts}.values():
            count += 1
        torch._fused_adam_(
            moving,
            [p.grad for p in moving if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            counts,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _share_counts(self, moving: list[Tensor], states: list[dict[str, Any]]) -> None:
        """Give parameters that begin now one count, and those that shared one before a new one.

        Others that shared it may stay where they are, as in alternating training.
        """
        begun = torch.zeros((), dtype=torch.float32, device=moving[0].device)
        new: dict[int, Tensor] = {}
        for parameter, state in zip(moving, states):
            if not state:
                state["step"] = begun
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            else:
                old = state["step"]
                state["step"] = new.setdefault(old.data_ptr(), old.clone())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state; parameters share one count again where their counts are equal."""
        super().load_state_dict(state_dict)
        self.moved = []
        shared: dict[float, Tensor] = {}
        for state in self.state.values():
            # Reading a count makes a GPU wait, here but not in a step.
            state["step"] = shared.setdefault(state["step"].item(), state["step"])
