"""NASWOT: the best of N random architectures by training-free score (Mellor et al., ICML 2021, algorithm 1).

A random search that is told scores: N is its budget in evaluations, and nothing is trained.
"""

from __future__ import annotations

from zeroscore.search.base import SEARCHERS, Algorithm
from zeroscore.search.random import RandomSearch

SEARCHERS.register("naswot", Algorithm(RandomSearch, told="score"))
