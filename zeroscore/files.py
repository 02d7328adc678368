"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeroscore.types import ZeroscoreError


@contextmanager
def written(target: Path, *, keep: bool = True) -> Iterator[Path]:
    """A path beside ``target`` to write to; the file takes its name when the block ends well, or is gone.

    Args:
        target: the file; another of that name is replaced. Its folder has to be there.
        keep: False to try only whether it can be written.

    Raises:
        ZeroscoreError: it cannot be written.
    """
    temporary = target.with_name(f".tmp-{os.getpid()}-{target.name}")
    try:
        try:
            if target.is_dir():
                raise ZeroscoreError(f"cannot write {str(target)!r}: it is a folder")
            yield temporary
            if keep:
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ZeroscoreError(f"cannot write {str(target)!r}: {reason}") from error
