"""Every registered predictor holds the contract."""

from __future__ import annotations

import inspect
from functools import partial

from zeroscore.prediction import PREDICTORS
from zeroscore.testing import PredictorContract

for _name in PREDICTORS:
    _options = {"epochs": 10} if "epochs" in inspect.signature(PREDICTORS.get(_name)).parameters else {}
    globals()[f"Test_{_name}"] = type(
        f"Test_{_name}",
        (PredictorContract,),
        {
            "make": staticmethod(partial(PREDICTORS.get, _name)),
            "options": _options,
            "by_score": _name == "score_knn",
        },
    )
