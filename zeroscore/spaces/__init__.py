"""Search spaces, one a file: parse, sample, mutate, canonical, build. Networks, never accuracies."""

from zeroscore.spaces.base import SPACES, ChoiceSpace, Space, list_spaces, load_space

__all__ = ["SPACES", "ChoiceSpace", "Space", "list_spaces", "load_space"]
