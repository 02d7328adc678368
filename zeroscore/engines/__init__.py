"""Where scoring runs."""

from zeroscore.engines.base import ENGINES, Engine, Settings, Task

__all__ = ["ENGINES", "Engine", "Settings", "Task"]
