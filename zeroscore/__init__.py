"""Score, rank and search neural architectures without training them."""

from zeroscore import predictors
from zeroscore.aggregation import GrowingPool, MonotoneFit
from zeroscore.own_models import ModelSpace
from zeroscore.probe import load_images, overlap_kernel
from zeroscore.ranking import Progress, Ranking, evaluate, load_ranking, score_many
from zeroscore.scorers import ZEROSCORE, ReferencePool, Scorer, list_scorers, score
from zeroscore.search import Budget, Front, SearchResult, search, search_front
from zeroscore.spaces import Space, list_spaces, load_space
from zeroscore.tables import Table, load_table
from zeroscore.types import Code, Score, Status, UsageError, ZeroscoreError
from zeroscore.version import __version__

__all__ = [
    "ZEROSCORE",
    "Budget",
    "Code",
    "Front",
    "GrowingPool",
    "ModelSpace",
    "MonotoneFit",
    "Progress",
    "Ranking",
    "ReferencePool",
    "Score",
    "Scorer",
    "SearchResult",
    "Space",
    "Status",
    "Table",
    "UsageError",
    "ZeroscoreError",
    "__version__",
    "evaluate",
    "list_scorers",
    "list_spaces",
    "load_images",
    "load_ranking",
    "load_space",
    "load_table",
    "overlap_kernel",
    "predictors",
    "score",
    "score_many",
    "search",
    "search_front",
]
