"""A cluster that is not where it was said to be."""

from __future__ import annotations

import socket
import time

import pytest

from ranking.toys import CHAIN, IMAGES, SPACE
from zeroscore.engines.ray import ray_engine
from zeroscore.ranking import score_many
from zeroscore.types import ZeroscoreError

pytest.importorskip("ray")


@pytest.mark.parametrize(
    ("address", "in_the_environment", "reason"),
    [
        ("127.0.0.1:{port}", "", "Connection refused"),
        ("ray://127.0.0.1:{port}", "", "Connection refused"),
        ("auto", "127.0.0.1:{port}", "Connection refused"),
        (f"{'a' * 64}.test:6379", "", "too long"),
    ],
)
def test_an_address_where_nobody_listens_is_said_at_once(
    address: str, in_the_environment: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", in_the_environment.format(port=port))
    start = time.monotonic()
    with pytest.raises(ZeroscoreError) as refusal:
        score_many(SPACE, [CHAIN], IMAGES, engine=ray_engine(address=address.format(port=port)))
    told = str(refusal.value)
    assert told.startswith(f"cannot connect to Ray at {(in_the_environment or address).format(port=port)!r}: ")
    assert reason in told
    assert "\n" not in told
    assert time.monotonic() - start < 5
