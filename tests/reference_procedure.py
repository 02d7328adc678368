"""The published NASWOT procedure, written out plainly: the tests' oracle and the benchmarks' rival.

Two forward passes and a backward pass between them, hooks on every module whose class name contains "ReLU", two float32
matrix products and two copies to the host for each counted call, and a log-determinant in numpy. Nothing is improved:
this is what a user of the published method runs. Where the published code has ``view``, which raises on channels_last
tensors, here is ``reshape``; on contiguous ones they are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def reference_kernel(model: nn.Module, images: Tensor) -> np.ndarray:
    """K_H as published: float64 ``[batch, batch]`` whose entries are integers.

    The model is spent afterwards: its hooks stay on, its gradients and running statistics are changed.
    """
    batch = len(images)
    total = np.zeros((batch, batch))
    reached: set[nn.Module] = set()
    counting = False

    def mark(module: nn.Module, grad_input: Any, grad_output: Any) -> None:
        reached.add(module)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if not counting or module not in reached:
            return
        x = (inputs[0].reshape(batch, -1) > 0).float()
        both_open = x @ x.t()
        both_closed = (1.0 - x) @ (1.0 - x).t()
        total = total + both_open.cpu().numpy() + both_closed.cpu().numpy()

    for module in model.modules():
        if "ReLU" in type(module).__name__:
            module.register_forward_hook(count)
            module.register_backward_hook(mark)

    model.train()
    images = images.clone().requires_grad_()
    first = model(images)
    first.backward(torch.ones_like(first))
    counting = True
    model(images.clone())
    return total


def reference_score(model: nn.Module, images: Tensor) -> float:
    """log|det K_H| of the published kernel; -inf where it is singular."""
    return float(np.linalg.slogdet(reference_kernel(model, images))[1])
