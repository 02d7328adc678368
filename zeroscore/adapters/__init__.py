"""The scorer inside other people's searchers, one package a file; none is imported before its file is."""

from zeroscore.adapters.guide import ScoreGuide

__all__ = ["ScoreGuide"]
