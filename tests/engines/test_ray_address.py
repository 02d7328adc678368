"""A cluster that is somewhere else, and one that is not where it was said to be."""

from __future__ import annotations

import socket
import time
from functools import partial

import pandas as pd
import pytest
import torch

from ranking.toys import CHAIN, IMAGES, SPACE
from zeroscore.engines.ray import ray_engine
from zeroscore.ranking import score_many
from zeroscore.types import ZeroscoreError

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402


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


def test_a_cluster_of_two_nodes() -> None:
    """Two nodes with room for one worker each; Ray is left as it was found."""
    cells = [str(cell) for cell in list(SPACE)[500:7500:500]]
    tiny = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=tiny)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        scored = partial(score_many, SPACE, cells, IMAGES, ("naswot", "params"), precision="float32")
        found = scored(engine=ray_engine(address=cluster.address)).frame.drop(columns="seconds")
        pd.testing.assert_frame_equal(found, scored(engine="local").frame.drop(columns="seconds"), check_exact=True)
        assert not ray.is_initialized()
    finally:
        torch.set_num_threads(threads)
        cluster.shutdown()
