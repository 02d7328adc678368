"""Optuna searches NAS-Bench-201 with the training-free score as warm start and filter.

    python benchmarks/examples/adapters/optuna_search.py

The accuracies are those of Digits-201, the small table that comes with zeroscore.
"""

from __future__ import annotations

import optuna
from digits_objective import digits_accuracy
from optuna.trial import TrialState

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.optuna import enqueue_best, objective


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = zs.load_space("nasbench201")
    images = zs.load_images("noise", batch=8, shape=(3, 8, 8))
    guide = ScoreGuide(space, "naswot", images=images, pool=20, keep=0.5)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    enqueue_best(study, guide, n=5)
    study.optimize(objective(space, digits_accuracy(), guide), n_trials=30)
    pruned = len(study.get_trials(states=[TrialState.PRUNED]))
    print(f"{len(study.trials)} trials, {pruned} of them never trained; {guide.seconds:.1f} s of scoring")
    print(f"best {study.best_value:.2f} %: {study.best_trial.user_attrs['arch']}")


if __name__ == "__main__":
    main()
