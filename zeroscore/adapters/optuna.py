"""Optuna: a space as categorical parameters, and the score as warm start, filter and pruner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zeroscore.adapters.choices import with_choices
from zeroscore.adapters.finite import finite
from zeroscore.adapters.guide import ScoreGuide
from zeroscore.search.base import positive
from zeroscore.spaces.base import A, Space
from zeroscore.types import UsageError, ZeroscoreError

try:
    import optuna
except ImportError as error:
    raise ZeroscoreError(f"this adapter needs optuna ({error}): pip install 'zeroscore[optuna]'") from None

ARCH, SCORE = "arch", "score"
"""User attributes of a trial: the architecture's text, and its score, finite (``adapters.finite``) where it failed."""


def suggest(trial: optuna.Trial, space: Space[A], guide: ScoreGuide[A] | None = None) -> A:
    """The architecture that ``trial`` is to try: one categorical parameter a choice of ``space``.

    The trial keeps the architecture's text as user attribute "arch" and, with a guide, its score as "score".

    Raises:
        UsageError: a space of dependent choices, a guide of another space, a study that minimises or has several
            objectives.
    """
    choosing = with_choices(space)
    if guide is not None:
        _same_space(guide, space)
    if isinstance(trial, optuna.Trial):
        _maximises(trial.study)
    arch = choosing.from_choices(
        {name: trial.suggest_categorical(name, among) for name, among in choosing.choices.items()}
    )
    trial.set_user_attr(ARCH, str(arch))
    if guide is not None:
        trial.set_user_attr(SCORE, finite(guide(arch)))
    return arch


def objective(
    space: Space[A], evaluate: Callable[[A], float], guide: ScoreGuide[A] | None = None
) -> Callable[[optuna.Trial], float]:
    """What ``study.optimize`` takes: suggests an architecture, and evaluates it where the guide lets it pass.

    One that does not pass is pruned before ``evaluate`` is called. It counts as one of ``n_trials`` (to count
    evaluations alone, give ``optimize`` a MaxTrialsCallback of complete trials), and TPE ranks it below every complete
    trial. Optuna's own rules decide about failed evaluations: a trial whose value is NaN fails and its sampler never
    hears of it, one of -inf is complete and the worst there is, and an exception ends the study unless ``catch`` names
    it.

    Args:
        space: of independent choices.
        evaluate: what an architecture is worth, higher is better.
        guide: the filter; None for none.

    Raises:
        UsageError: here, or from the first trial, as ``suggest``.
    """
    with_choices(space)

    def value(trial: optuna.Trial) -> float:
        arch = suggest(trial, space, guide)
        if guide is not None and not guide.passes(arch):
            raise optuna.TrialPruned(f"score {guide(arch):.6g} is below {guide.threshold:.6g}")
        return evaluate(arch)

    return value


def enqueue_best(study: optuna.Study, guide: ScoreGuide[Any], n: int) -> None:
    """Let ``study`` begin with the ``n`` best-scored architectures of the guide's pool, best first (AREA).

    Those that the study has or has queued already are left out. Those that do not pass the guide, where ``n`` is more
    than its share ``keep`` of the pool, are pruned like any other.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021, section 4.4.

    Raises:
        UsageError: as ``suggest``, or an ``n`` that is more than the pool.
    """
    choosing = with_choices(guide.space)
    _maximises(study)
    for arch in guide.best(positive("n", n)):
        study.enqueue_trial(choosing.to_choices(arch), skip_if_exists=True)


class ScorePruner(optuna.pruners.BasePruner):  # type: ignore[misc]  # optuna is seen as Any
    """Prunes a trial whose user attribute "score", which ``suggest`` sets, is below what passes the guide.

    For objectives of your own that call ``trial.should_prune``. A trial without the attribute is not pruned for it.

    Args:
        guide: says which scores pass.
        then: decides about the trials that pass, for instance a MedianPruner on what they report; None lets them run.

    Raises:
        UsageError: ``then`` is no pruner; from ``prune``, a study that minimises or has several objectives.
    """

    def __init__(self, guide: ScoreGuide[Any], then: optuna.pruners.BasePruner | None = None) -> None:
        if then is not None and not isinstance(then, optuna.pruners.BasePruner):
            raise UsageError(f"then={then!r} is no pruner of optuna; give one such as MedianPruner()")
        self._guide = guide
        self._then = then

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """True where the score is too low, or where ``then`` says so."""
        _maximises(study)
        if SCORE in trial.user_attrs and trial.user_attrs[SCORE] < finite(self._guide.threshold):
            return True
        return self._then is not None and bool(self._then.prune(study, trial))


def _same_space(guide: ScoreGuide[Any], space: Space[Any]) -> None:
    if guide.space.name != space.name:
        raise UsageError(f"the guide scores {guide.space.name!r}, not {space.name!r}")


def _maximises(study: optuna.Study) -> None:
    if len(study.directions) > 1:
        raise UsageError(f"study {study.study_name!r} has {len(study.directions)} objectives; a score guides one")
    if study.direction != optuna.study.StudyDirection.MAXIMIZE:
        raise UsageError(
            f"study {study.study_name!r} minimises, and more accuracy is better; create_study(direction='maximize')"
        )
