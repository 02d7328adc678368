"""Ray Tune searches NAS-Bench-201 with the training-free score as warm start and filter.

    python benchmarks/examples/adapters/ray_tune_search.py

The accuracies are those of Digits-201, the small table that comes with zeroscore.
"""

from __future__ import annotations

import tempfile

import ray
from digits_objective import digits_accuracy
from ray import tune
from ray.tune.search.optuna import OptunaSearch

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.ray_tune import ScoreSearcher, points_to_evaluate, search_space, to_arch


def main() -> None:
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, ignore_reinit_error=True)
    space, accuracy = zs.load_space("nasbench201"), digits_accuracy()
    images = zs.load_images("noise", batch=8, shape=(3, 8, 8))
    guide = ScoreGuide(space, "naswot", images=images, pool=20, keep=0.5)
    first = points_to_evaluate(guide, 5)
    search = ScoreSearcher(OptunaSearch(metric="accuracy", mode="max", points_to_evaluate=first, seed=0), guide)
    config = tune.TuneConfig(
        metric="accuracy", mode="max", search_alg=search, num_samples=15, max_concurrent_trials=1, reuse_actors=True
    )
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            lambda config: {"accuracy": accuracy(to_arch(space, config))},
            param_space=search_space(space),
            tune_config=config,
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
    best = results.get_best_result()
    print(f"{len(results)} trials, {results.num_errors} failed; {guide.seconds:.1f} s of scoring")
    print(f"best {best.metrics['accuracy']:.2f} %: {to_arch(space, best.config)}")


if __name__ == "__main__":
    main()
