"""CUDA backend: one kernel a file, its launcher beside it."""
