"""What goes wrong in files that others wrote, and how to say it in one line."""

from __future__ import annotations

import pickle
import struct

DAMAGE = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a damaged or foreign file raises, in pickle, bz2, torch and the benchmark authors' packages."""


def brief(error: BaseException) -> str:
    r"""An error in one line.

    >>> brief(ValueError("no\n  luck")), brief(EOFError())
    ('no luck', 'EOFError')
    """
    return " ".join(str(error).split()) or type(error).__name__
