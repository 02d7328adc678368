"""Scikit-learn chooses, by cross-validation, how to predict accuracies from the score and a few labels.

    python benchmarks/examples/adapters/sklearn_search.py

The accuracies are those of Digits-201, the small table that comes with zeroscore.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.model_selection import GridSearchCV, train_test_split

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.sklearn import ScoreRegressor


def main() -> None:
    space, table = zs.load_space("nasbench201"), zs.load_table("digits201")
    texts = np.random.default_rng(0).permutation(np.array(list(table)))[:60]
    labels = np.array([table.accuracy(text, "digits", "valid") for text in texts])
    guide = ScoreGuide(space, "naswot", images=zs.load_images("noise", batch=8, shape=(3, 8, 8)))
    known, new, y, truth = train_test_split(texts, labels, train_size=30, random_state=0)
    grid = {"predictor": ["one_hot_knn"], "options": [{"k": 3}, {"k": 10}]}
    search = GridSearchCV(
        ScoreRegressor(space, scorer=guide),
        [{"predictor": [None]}, grid],
        scoring=lambda model, X, y: stats.kendalltau(model.predict(X), y).statistic,
        cv=3,
    )
    search.fit(known, y)
    tau = stats.kendalltau(search.predict(new), truth).statistic
    print(f"chosen {search.best_params_}")
    print(f"kendall {tau:.2f} on {len(new)} architectures, with {len(known)} labels")


if __name__ == "__main__":
    main()
