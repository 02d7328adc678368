"""Ask/tell searchers, one algorithm a file, and the loop that runs them within a budget."""

from zeroscore.search.base import SEARCHERS, Algorithm, Budget, ExhaustedError, Searcher
from zeroscore.search.history import SearchResult, Trial
from zeroscore.search.run import search

__all__ = ["SEARCHERS", "Algorithm", "Budget", "ExhaustedError", "SearchResult", "Searcher", "Trial", "search"]
