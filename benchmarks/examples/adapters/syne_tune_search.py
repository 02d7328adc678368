"""syne-tune searches NAS-Bench-201, in simulated time, with the training-free score as warm start and filter.

    python benchmarks/examples/adapters/syne_tune_search.py

The accuracies and seconds are those of Digits-201, the small table that comes with zeroscore.
"""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pandas as pd
from digits_objective import digits_accuracy
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.blackbox_repository import UserBlackboxBackend
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
from syne_tune.config_space import randint
from syne_tune.optimizer.baselines import TPE

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.syne_tune import ScoreFilter, config_space, points_to_evaluate, to_arch


def main() -> None:
    space = zs.load_space("nasbench201")
    images = zs.load_images("noise", batch=8, shape=(3, 8, 8))
    guide = ScoreGuide(space, "naswot", images=images, pool=20, keep=0.5)
    first = points_to_evaluate(guide, 5)
    tpe = TPE(config_space(space), "accuracy", do_minimize=False, random_seed=0, points_to_evaluate=first)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder
        tuner = Tuner(
            UserBlackboxBackend(digits(space), elapsed_time_attr="elapsed_s", seed=0),
            ScoreFilter(tpe, guide),
            StoppingCriterion(max_num_trials_finished=30),
            n_workers=4,
            sleep_time=0,
            callbacks=[SimulatorCallback()],
            save_tuner=False,
        )
        tuner.run()
    trial, config = tuner.best_config()
    best = tuner.tuning_status.overall_metric_statistics.max_metrics["accuracy"]
    print(f"{tuner.tuning_status.num_trials_completed} trials; {guide.seconds:.1f} s of scoring")
    print(f"best {best:.2f} %, trial {trial}: {to_arch(space, config)}")


def digits(space: zs.Space) -> BlackboxTabular:
    """Every cell's accuracy, and the table's mean seconds of training, as syne-tune simulates them."""
    accuracy, table = digits_accuracy(), zs.load_table("digits201")
    seconds = np.mean([table.cost(text, "digits") for text in table])
    results = np.array([(accuracy(arch), seconds) for arch in space])
    return BlackboxTabular(
        pd.DataFrame([space.to_choices(arch) for arch in space]),
        config_space(space),
        {"epochs": randint(1, 12)},
        results[:, None, None, :],
        fidelity_values=np.array([12]),
        objectives_names=["accuracy", "elapsed_s"],
    )


if __name__ == "__main__":
    main()
