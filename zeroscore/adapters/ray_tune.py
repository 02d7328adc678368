"""Ray Tune with a training-free score as searcher, as filter and as scheduler: ``pip install zeroscore[ray]``.

The filter in front of one of Ray's own searchers, which starts from the guide's best::

    guide = ScoreGuide(space, "naswot")
    first = points_to_evaluate(guide, 5)
    search = ScoreSearcher(OptunaSearch(metric="accuracy", mode="max", points_to_evaluate=first), guide)
    config = tune.TuneConfig(metric="accuracy", mode="max", search_alg=search, num_samples=50)
    tune.Tuner(train, param_space=search_space(space), tune_config=config).fit()

``train(config)`` finds its architecture with ``to_arch(space, config)``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from zeroscore.adapters.choices import known_options, with_choices
from zeroscore.adapters.configs import points_to_evaluate, to_arch, to_config
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.search.base import SEARCHERS, ExhaustedError, positive
from zeroscore.spaces.base import ChoiceSpace, Space
from zeroscore.tables.errors import brief
from zeroscore.types import UsageError, ZeroscoreError, one_of

try:
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
    from ray.tune.search import Searcher
    from ray.tune.search.sample import Domain
except ImportError as error:
    raise ZeroscoreError(f"this adapter needs Ray Tune ({brief(error)}): pip install 'zeroscore[ray]'") from None

__all__ = ["ScoreScheduler", "ScoreSearcher", "ZeroscoreSearch", "points_to_evaluate", "search_space", "to_arch"]


def search_space(space: Space[Any]) -> dict[str, Any]:
    """A ``tune.choice`` for each place of an architecture; UsageError where the space has no independent choices."""
    return {name: tune.choice(list(values)) for name, values in with_choices(space).choices.items()}


class ScoreSearcher(Searcher):  # type: ignore[misc]
    """A searcher of Ray's whose suggestions become trials only where their architecture passes the guide's filter.

    The wrapped searcher is asked again until a suggestion passes, or for the last of ``tries`` whether it passes or
    not. It learns of each rejected suggestion as of a trial that completed without a result, which is no error:
    OptunaSearch counts it as pruned, a ConcurrencyLimiter gives its place free. Metric, mode and search space are the
    wrapped searcher's.

    ``save`` and ``restore`` are the wrapped searcher's too, as in Ray's own wrappers; what an experiment keeps holds
    the trials that are running as well.

    Args:
        searcher: any ``ray.tune.search.Searcher``.
        guide: scores and filters.
        tries: suggestions that are asked for at the most, for one trial.

    Raises:
        UsageError: ``tries`` is below 1.
    """

    def __init__(self, searcher: Searcher, guide: ScoreGuide[Any], *, tries: int = 100) -> None:
        # Ray finds what is wrapped, to save it, by the name of this attribute.
        self.searcher = searcher
        self.guide = guide
        self._tries = positive("tries", tries)
        self._ids: dict[str, str] = {}
        super().__init__(metric=searcher.metric, mode=searcher.mode)

    @property
    def metric(self) -> Any:
        """What the wrapped searcher optimises."""
        return self.searcher.metric

    @property
    def mode(self) -> Any:
        """Whether it minimises or maximises that."""
        return self.searcher.mode

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Give them to the wrapped searcher."""
        return bool(self.searcher.set_search_properties(metric, mode, config, **spec))

    @override
    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Give it to the wrapped searcher."""
        return bool(self.searcher.set_max_concurrency(max_concurrent))

    @override
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A configuration that passes; FINISHED or None where the wrapped searcher says so."""
        for attempt in range(1, self._tries + 1):
            # A searcher knows a trial by its id, so that each suggestion needs one of its own.
            inner = f"{trial_id}_{attempt}"
            config: dict[str, Any] | str | None = self.searcher.suggest(inner)
            if config is None or isinstance(config, str):
                return config
            if attempt == self._tries or self.guide.passes(to_arch(self.guide.space, config)):
                break
            self.searcher.on_trial_complete(inner)
        self._ids[trial_id] = inner
        return config

    @override
    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the wrapped searcher."""
        if trial_id in self._ids:
            self.searcher.on_trial_result(self._ids[trial_id], result)

    @override
    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the wrapped searcher."""
        if trial_id in self._ids:
            self.searcher.on_trial_complete(self._ids.pop(trial_id), result=result, error=error)

    @override
    def add_evaluated_point(self, parameters: dict[str, Any], value: float, *more: Any, **options: Any) -> None:
        """Tell the wrapped searcher, where it can be told, of an evaluation elsewhere."""
        self.searcher.add_evaluated_point(parameters, value, *more, **options)

    @override
    def get_state(self) -> dict[str, Any]:
        """The wrapped searcher's ids of running trials."""
        return {"ids": dict(self._ids)}

    @override
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from ``get_state``."""
        self._ids = dict(state["ids"])

    @override
    def save(self, checkpoint_path: str) -> None:
        """Save the wrapped searcher."""
        self.searcher.save(checkpoint_path)

    @override
    def restore(self, checkpoint_path: str) -> None:
        """Restore the wrapped searcher."""
        self.searcher.restore(checkpoint_path)


class ZeroscoreSearch(Searcher):  # type: ignore[misc]
    """A registered searcher of zeroscore as one of Ray's; a failed trial, or one without the metric, ranks last.

    ``num_samples`` is the budget; where every architecture has been asked for, the search ends earlier. What is saved
    is the order of questions and answers: restoring repeats it with an equal guide, seed and options.

    Args:
        guide: its space is searched, and its score is that of a searcher which reads one.
        searcher: a registered name.
        metric: key of the results; None for that of the TuneConfig, which Ray hands on only with a ``param_space``.
        mode: "min" or "max"; None likewise.
        points_to_evaluate: configurations to try before those that the searcher asks for.
        seed: of every random choice.
        options: the searcher's own, such as ``population``.

    Raises:
        UsageError: an unknown searcher, mode or option, or a searcher that learns from no trial.
    """

    _metric: str | None
    _mode: str | None

    def __init__(
        self,
        guide: ScoreGuide[Any],
        searcher: str = "guided_evolution",
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Iterable[Mapping[str, Any]] = (),
        *,
        seed: int = 0,
        **options: Any,
    ) -> None:
        if mode is not None:
            one_of("mode", mode, ("min", "max"))
        algorithm = SEARCHERS.get(searcher)
        known_options(f"searcher {searcher!r}", algorithm.make, options)
        if algorithm.told == "score":
            raise UsageError(f"searcher {searcher!r} learns from no trial; take points_to_evaluate(guide, n)")
        super().__init__(metric=metric, mode=mode)
        self.guide = guide
        self._name = searcher
        self._first = [to_arch(guide.space, config) for config in points_to_evaluate]
        self._seed = seed
        self._options = options
        self._begin()

    def _begin(self) -> None:
        algorithm = SEARCHERS.get(self._name)
        inputs = (self.guide.space, np.random.default_rng(self._seed), *([self.guide] if algorithm.scores else []))
        self._strategy = algorithm.make(*inputs, **self._options)
        self._to_try = list(self._first)
        self._running: dict[str, Any] = {}
        self._log: list[tuple[str, str | float]] = []

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Take metric and mode where there are none; False where ``config`` has something else to be drawn.

        Raises:
            UsageError: an unknown mode.
        """
        if mode is not None:
            one_of("mode", mode, ("min", "max"))
        self._metric = self._metric or metric
        self._mode = self._mode or mode
        own = self.guide.space.choices if isinstance(self.guide.space, ChoiceSpace) else {}
        return all(name in own or not isinstance(value, Domain) for name, value in config.items())

    @override
    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The architecture that the searcher asks for; FINISHED where none is left."""
        if self._metric is None or self._mode is None:
            raise UsageError(f"{self._name} has no metric or no mode; give ZeroscoreSearch metric= and mode=")
        try:
            arch = self._to_try.pop(0) if self._to_try else self._strategy.ask()
        except ExhaustedError:
            return str(Searcher.FINISHED)
        self._running[trial_id] = arch
        self._log.append((trial_id, str(arch)))
        config: dict[str, Any] = to_config(self.guide.space, arch)
        return config

    @override
    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher what the trial's last result says, higher being better."""
        if trial_id not in self._running:
            return
        told = None if error or result is None else result.get(str(self._metric))
        value = -math.inf if told is None else float(told) * (-1.0 if self._mode == "min" else 1.0)
        self._strategy.tell(self._running.pop(trial_id), value)
        self._log.append((trial_id, value))

    @override
    def get_state(self) -> dict[str, Any]:
        """Metric, mode, and everything asked and told, in its order."""
        return {"metric": self._metric, "mode": self._mode, "log": [list(each) for each in self._log]}

    @override
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Repeat what was asked and told.

        Raises:
            ZeroscoreError: something else is asked now: another guide, seed or option.
        """
        self._begin()
        self._metric, self._mode = state["metric"], state["mode"]
        for trial_id, what in state["log"]:
            if trial_id in self._running:
                self._strategy.tell(self._running.pop(trial_id), what)
                self._log.append((trial_id, what))
                continue
            self.suggest(trial_id)
            if str(self._running.get(trial_id)) != what:
                raise ZeroscoreError(
                    f"trial {trial_id} of the saved search is {what}, and now {self._running.get(trial_id)}; "
                    "restore with the same guide, seed and options"
                )

    # Strategies hold generators, which nothing can copy: what is pickled is how to get there again.
    @override
    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name not in ("_strategy", "_to_try", "_running")}
        return {**kept, "_log": list(self._log)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.set_state(self.get_state())

    @override
    def save(self, checkpoint_path: str) -> None:
        """Write the state, as JSON."""
        Path(checkpoint_path).write_text(json.dumps(self.get_state()))

    @override
    def restore(self, checkpoint_path: str) -> None:
        """Read it back, and repeat it."""
        self.set_state(json.loads(Path(checkpoint_path).read_text()))


class ScoreScheduler(TrialScheduler):  # type: ignore[misc]
    """Stops a trial whose architecture does not pass the guide's filter before it starts; others are the base's.

    For searchers that cannot be wrapped, such as Ray's default one. A stopped trial stays among the results, without
    metrics, and counts as one of ``num_samples``; the searcher is told that it completed without a result.

    Args:
        guide: scores and filters.
        scheduler: what schedules those that pass; None for first in, first out.
    """

    def __init__(self, guide: ScoreGuide[Any], scheduler: TrialScheduler | None = None) -> None:
        super().__init__()
        self.guide = guide
        self.scheduler = FIFOScheduler() if scheduler is None else scheduler
        self._rejected: dict[str, Any] = {}

    @property
    def metric(self) -> Any:
        """What the base scheduler reads."""
        return self.scheduler.metric

    @property
    def supports_buffered_results(self) -> bool:
        """Whether the base scheduler does."""
        return bool(self.scheduler.supports_buffered_results)

    @override
    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Give them to the base scheduler."""
        return bool(self.scheduler.set_search_properties(metric, mode, **spec))

    @override
    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Score a new trial's architecture; the base scheduler never hears of one that does not pass."""
        if trial.status == trial.PENDING and not self.guide.passes(to_arch(self.guide.space, trial.config)):
            self._rejected[trial.trial_id] = trial
        else:
            self.scheduler.on_trial_add(tune_controller, trial)

    @override
    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Stop what was rejected, then let the base scheduler choose."""
        # Not in on_trial_add: Ray files a trial under its status only after that.
        for trial in self._rejected.values():
            trial.init_local_path()  # Ray's results look for the folder of every trial
            tune_controller.stop_trial(trial)
        self._rejected.clear()
        return self.scheduler.choose_trial_to_run(tune_controller)

    @override
    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Tell the base scheduler, of trials it knows."""
        if trial.trial_id not in self._rejected:
            self.scheduler.on_trial_remove(tune_controller, trial)

    @override
    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tell the base scheduler."""
        self.scheduler.on_trial_error(tune_controller, trial)

    @override
    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """The base scheduler's decision."""
        return str(self.scheduler.on_trial_result(tune_controller, trial, result))

    @override
    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tell the base scheduler."""
        self.scheduler.on_trial_complete(tune_controller, trial, result)

    @override
    def debug_string(self) -> str:
        """What the base scheduler says."""
        return f"behind a score filter: {self.scheduler.debug_string()}"

    @override
    def save(self, checkpoint_path: str) -> None:
        """Save the base scheduler."""
        self.scheduler.save(checkpoint_path)

    @override
    def restore(self, checkpoint_path: str) -> None:
        """Restore the base scheduler."""
        self.scheduler.restore(checkpoint_path)
