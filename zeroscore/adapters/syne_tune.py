"""syne-tune with a training-free score as warm start and as filter: ``pip install zeroscore[syne-tune]``.

::

    guide = ScoreGuide(space, "naswot")
    first = points_to_evaluate(guide, 5)
    tpe = TPE(config_space(space), "accuracy", do_minimize=False, points_to_evaluate=first)
    Tuner(backend, ScoreFilter(tpe, guide), stop_criterion, n_workers=1).run()

A training script, or function, finds its architecture with ``to_arch(space, config)``.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from zeroscore.adapters.choices import with_choices
from zeroscore.adapters.configs import points_to_evaluate, to_arch
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.search.base import positive
from zeroscore.spaces.base import Space
from zeroscore.tables.errors import brief
from zeroscore.types import ZeroscoreError

try:
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice
    from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion
except ImportError as error:
    raise ZeroscoreError(f"this adapter needs syne-tune ({brief(error)}): pip install 'zeroscore[syne-tune]'") from None

__all__ = ["ScoreFilter", "config_space", "points_to_evaluate", "to_arch"]


def config_space(space: Space[Any]) -> dict[str, Any]:
    """A ``choice`` for each place of an architecture; UsageError where the space has no independent choices."""
    return {name: choice(list(values)) for name, values in with_choices(space).choices.items()}


class ScoreFilter(TrialScheduler):  # type: ignore[misc]
    """A scheduler of syne-tune's whose suggestions become trials only where their architecture passes the filter.

    The wrapped scheduler is asked again until a new configuration passes, or for the last of ``tries`` whether it
    passes or not; trials that it resumes or starts from another's checkpoint are let through. A suggestion that
    nobody starts has no trial, so that the wrapped scheduler learns nothing of those rejected.

    Args:
        scheduler: any ``syne_tune.optimizer.scheduler.TrialScheduler``.
        guide: scores and filters.
        tries: suggestions that are asked for at the most, for one trial.

    Raises:
        UsageError: ``tries`` is below 1.
    """

    def __init__(self, scheduler: TrialScheduler, guide: ScoreGuide[Any], *, tries: int = 100) -> None:
        super().__init__(random_seed=scheduler.random_seed)
        self.scheduler = scheduler
        self.guide = guide
        self._tries = positive("tries", tries)

    @override
    def suggest(self) -> TrialSuggestion | None:
        """A trial whose architecture passes; None where the wrapped scheduler has nothing left."""
        for _ in range(self._tries):
            suggestion = self.scheduler.suggest()
            if suggestion is None or suggestion.checkpoint_trial_id is not None:
                break
            if self.guide.passes(to_arch(self.guide.space, suggestion.config)):
                break
        return suggestion

    @override
    def on_trial_add(self, trial: Trial) -> None:
        """Tell the wrapped scheduler."""
        self.scheduler.on_trial_add(trial)

    @override
    def on_trial_error(self, trial: Trial) -> None:
        """Tell the wrapped scheduler."""
        self.scheduler.on_trial_error(trial)

    @override
    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """The wrapped scheduler's decision."""
        return str(self.scheduler.on_trial_result(trial, result))

    @override
    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Tell the wrapped scheduler."""
        self.scheduler.on_trial_complete(trial, result)

    @override
    def on_trial_remove(self, trial: Trial) -> None:
        """Tell the wrapped scheduler."""
        self.scheduler.on_trial_remove(trial)

    def metric_names(self) -> list[str]:
        """What the wrapped scheduler optimises."""
        return list(self.scheduler.metric_names())

    def metric_mode(self) -> Any:
        """Whether it minimises or maximises that."""
        return self.scheduler.metric_mode()

    @override
    def metadata(self) -> dict[str, Any]:
        """What the wrapped scheduler says of itself."""
        return dict(self.scheduler.metadata())
