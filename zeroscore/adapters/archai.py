"""archai's evaluators and search space over a training-free score.

Made for archai 1.0.0 (``archai.discrete_search.api``), whose searches run with it unchanged::

    objectives = SearchObjectives()
    objectives.add_objective("score", ScoreEvaluator("naswot"), higher_is_better=True)
    search = EvolutionParetoSearch(ArchaiSpace(load_space("nasbench201")), objectives, "out")
    best = search.search().get_pareto_frontier()["models"]
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from zeroscore.adapters.finite import finite
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.probe import load_images
from zeroscore.scorers import SCORERS, Scorer, score
from zeroscore.spaces.base import ChoiceSpace, Space
from zeroscore.types import Precision, UsageError, ZeroscoreError

try:
    from archai.discrete_search.api import ArchaiModel, AsyncModelEvaluator, EvolutionarySearchSpace, ModelEvaluator
except ImportError as error:
    raise ZeroscoreError(f"this adapter needs archai ({error}): pip install 'zeroscore[archai]'") from None

_scoring = threading.Lock()
"""Scoring sets the process's random generators and puts them back, so that one network has to come after another."""


class ScoreEvaluator(ModelEvaluator):  # type: ignore[misc]
    """Scores the network of an ArchaiModel, any ``nn.Module``, without training it; add it with higher_is_better=True.

    A failed score is FAILED (``zeroscore.adapters.finite``), the lowest float32: archai's Pareto fronts compare by
    differences in which -inf becomes NaN, and would keep every failed model. A score for which lower is better is
    turned round.

    Args:
        scorer: a registered scorer's name, or a Scorer.
        images: ``[B, C, H, W]`` on the networks' device; by default 32 noise images of 3x32x32.
        space: name of the space that the networks are of, in whose pool scorer "zeroscore" ranks them; "" for none.
        precision: as ``zeroscore.score``.
        seed: of the noise images, and of what a network draws while it runs.

    Raises:
        UsageError: an unknown scorer.
    """

    def __init__(
        self,
        scorer: str | Scorer = "zeroscore",
        images: Float[Tensor, "batch ..."] | None = None,
        *,
        space: str = "",
        precision: Precision = "auto",
        seed: int = 0,
    ) -> None:
        self.scorer = scorer if isinstance(scorer, Scorer) else SCORERS.get(scorer)
        self._images = load_images("noise", batch=32, shape=(3, 32, 32), seed=seed) if images is None else images
        self._space = space
        self._precision: Precision = precision
        self._seed = seed

    @override
    def evaluate(self, arch: ArchaiModel, budget: float | None = None) -> float:
        """The score of ``arch.arch``, higher is better, finite; there is no cheaper one, so ``budget`` changes nothing.

        Raises:
            UsageError: ``arch`` has no network (any more), or the images cannot be scored.
        """
        if not isinstance(arch.arch, nn.Module):
            kind = type(arch.arch).__name__
            raise UsageError(f"model {arch.archid!r} has a {kind}, not an nn.Module; a cleared model has no network")
        with _scoring:
            found = score(
                arch.arch, self._images, self.scorer, seed=self._seed, precision=self._precision, space=self._space
            )
        if not found.status.ok:
            return finite(-math.inf)
        return finite(found.value if self.scorer.higher_is_better else -found.value)


class AsyncScoreEvaluator(AsyncModelEvaluator):  # type: ignore[misc]
    """A ScoreEvaluator whose scores are computed while archai evaluates its other objectives.

    One thread scores one network after another, in the order of ``send``; it is an evaluator for searches whose other
    objectives wait for something else, or whose networks are on a GPU. An objective that draws from the global random
    generators meanwhile may find them set: make that one the asynchronous one, or use ScoreEvaluator.

    Args:
        evaluator: what scores.
    """

    def __init__(self, evaluator: ScoreEvaluator) -> None:
        self._evaluator = evaluator
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zeroscore")
        self._sent: list[Future[float]] = []

    @override
    def send(self, arch: ArchaiModel, budget: float | None = None) -> None:
        """Have ``arch`` scored; returns at once."""
        self._sent.append(self._thread.submit(self._evaluator.evaluate, arch, budget))

    @override
    def fetch_all(self) -> list[float]:
        """The scores of all that was sent since the last call, in its order, once they are there.

        Raises:
            UsageError: as ScoreEvaluator; the other scores are lost.
        """
        sent, self._sent = self._sent, []
        try:
            return [future.result() for future in sent]
        finally:
            for future in sent:
                future.cancel()


class ArchaiSpace(EvolutionarySearchSpace):  # type: ignore[misc]
    """A search space of ours as one of archai's, for random search and evolution.

    A model's ``archid`` is a hash of the architecture's text, which may be no file name; the text is in
    ``metadata["arch"]`` and in the files of ``save_arch``. Cleared models can still be mutated and saved: a network is
    nothing but its architecture and ``seed``.

    Args:
        space: where architectures come from.
        num_classes: outputs of the networks.
        seed: of the networks' weights, and of every random choice.
        device: where networks are built.
    """

    def __init__(
        self,
        space: Space[Any],
        *,
        num_classes: int = 10,
        seed: int = 0,
        device: torch.device | str | None = None,
    ) -> None:
        self.space = space
        self._num_classes = num_classes
        self._seed = seed
        self._device = device
        self._rng = np.random.default_rng(seed)

    def model(self, arch: Any) -> ArchaiModel:
        """The ArchaiModel of an architecture or its text."""
        known = self.space.parse(arch) if isinstance(arch, str) else arch
        archid = f"{self.space.name}_{hashlib.blake2b(str(known).encode(), digest_size=12).hexdigest()}"
        return ArchaiModel(self._network(known), archid, {"arch": str(known)})

    def arch(self, model: ArchaiModel) -> Any:
        """The architecture of a model of this space; UsageError where it is none."""
        if "arch" not in model.metadata:
            raise UsageError(f"model {model.archid!r} is none of this ArchaiSpace: its metadata has no 'arch'")
        return self.space.parse(model.metadata["arch"])

    def save_best(self, guide: ScoreGuide[Any], n: int, folder: str | Path) -> list[str]:
        """Save the guide's ``n`` best-scored architectures: a search's ``initial_population_paths`` (AREA)."""
        models = [self.model(arch) for arch in guide.best(n)]
        paths = [str(Path(folder) / model.archid) for model in models]
        for model, path in zip(models, paths, strict=True):
            self.save_arch(model, path)
        return paths

    @override
    def random_sample(self) -> ArchaiModel:
        """A model of the space, uniformly drawn."""
        return self.model(self.space.sample(self._rng))

    @override
    def mutate(self, arch: ArchaiModel) -> ArchaiModel:
        """A model one elementary change away."""
        return self.model(self.space.mutate(self.arch(arch), self._rng))

    @override
    def crossover(self, arch_list: Sequence[ArchaiModel]) -> ArchaiModel:
        """A model that has each choice from one of these; where there are no independent choices, one's mutation."""
        parents = [self.arch(model) for model in arch_list]
        if not isinstance(self.space, ChoiceSpace):
            return self.mutate(arch_list[int(self._rng.integers(len(parents)))])
        picked = [self.space.to_choices(parent) for parent in parents]
        child = {name: picked[int(self._rng.integers(len(picked)))][name] for name in self.space.choices}
        return self.model(self.space.from_choices(child))

    @override
    def save_arch(self, model: ArchaiModel, file_path: str) -> None:
        """Write the architecture's text."""
        Path(file_path).parent.mkdir(parents=True, exist_ok=True)
        Path(file_path).write_text(f"{self.arch(model)}\n")

    @override
    def load_arch(self, file_path: str) -> ArchaiModel:
        """The model of a file of ``save_arch``, with the weights of ``seed``."""
        return self.model(Path(file_path).read_text().strip())

    @override
    def save_model_weights(self, model: ArchaiModel, file_path: str) -> None:
        """Write the state of the model's network; a cleared one is built again."""
        network = self._network(self.arch(model)) if model.arch is None else model.arch
        torch.save(network.state_dict(), file_path)

    @override
    def load_model_weights(self, model: ArchaiModel, file_path: str) -> None:
        """Read it back; a cleared network is built first."""
        if model.arch is None:
            model.arch = self._network(self.arch(model))
        model.arch.load_state_dict(torch.load(file_path, weights_only=True))

    def _network(self, arch: Any) -> nn.Module:
        return self.space.build(arch, self._num_classes, seed=self._seed, device=self._device)
