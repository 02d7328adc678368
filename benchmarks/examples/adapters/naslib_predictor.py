"""NASLib's predictor interface: a training-free score, then the same score turned into accuracies by a few labels.

    python benchmarks/examples/adapters/naslib_predictor.py

The labels are those of Digits-201, the table that comes with zeroscore. NASLib's evaluator calls the same methods.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.naslib import ZeroscorePredictor
from zeroscore.predictors import ScoreKNN


def main() -> None:
    space, table = zs.load_space("nasbench201"), zs.load_table("digits201")
    rng = np.random.default_rng(0)
    texts = [str(arch) for arch in rng.permutation(np.array(list(table)))[:48]]
    labels = table.values(next(m for m in table.metrics() if m.kind == "accuracy"), texts).to_numpy()
    guide = ScoreGuide(space, "naswot", images=zs.load_images("noise", batch=8, shape=(3, 8, 8)))
    for name, learner in (("naswot", None), ("naswot and 24 labels", ScoreKNN(space))):
        predictor = ZeroscorePredictor(space, guide, learner)
        predictor.pre_compute(texts[:24], texts[24:])
        predictor.fit(texts[:24], labels[:24])
        predicted = predictor.query(texts[24:])
        tau = stats.kendalltau(labels[24:], predicted).statistic
        error = "" if learner is None else f", mean absolute error {np.abs(predicted - labels[24:]).mean():.2f} %"
        print(f"{name}: kendall {tau:.2f} on 24 other architectures{error}")
    print(f"{guide.seconds:.1f} s of scoring, each architecture once")


if __name__ == "__main__":
    main()
