"""Search spaces, one a file: parse, sample, mutate, canonical, build. Networks, never accuracies."""

from zeroscore.spaces.base import SPACES, Space, list_spaces, load_space

__all__ = ["SPACES", "Space", "list_spaces", "load_space"]
