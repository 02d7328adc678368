"""Predictors that learn accuracies from a few labels and training-free scores, one a file."""

from zeroscore.predictors.choose import choose
from zeroscore.predictors.emprox import EmProx
from zeroscore.predictors.encoding import Encoding, encoding_of
from zeroscore.predictors.nao import NAO
from zeroscore.predictors.one_hot_knn import OneHotKNN
from zeroscore.predictors.score_knn import ScoreKNN

__all__ = ["NAO", "EmProx", "Encoding", "OneHotKNN", "ScoreKNN", "choose", "encoding_of"]
