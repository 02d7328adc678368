"""Nevergrad searches NAS-Bench-201 with the training-free score as warm start and filter.

    python benchmarks/examples/adapters/nevergrad_search.py

The accuracies are those of Digits-201, the small table that comes with zeroscore.
"""

from __future__ import annotations

import nevergrad
from digits_objective import digits_accuracy

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.nevergrad import ask, parametrization, tell, to_arch, warm_start


def main() -> None:
    space, accuracy = zs.load_space("nasbench201"), digits_accuracy()
    images = zs.load_images("noise", batch=8, shape=(3, 8, 8))
    guide = ScoreGuide(space, "naswot", images=images, pool=20, keep=0.5)
    optimizer = nevergrad.optimizers.DiscreteOnePlusOne(parametrization(space), budget=30)
    optimizer.parametrization.random_state.seed(0)
    warm_start(optimizer, guide, n=5)
    found = {}
    for _ in range(30):
        candidate = ask(optimizer, guide, tries=5)
        arch = to_arch(space, candidate)
        found[arch] = accuracy(arch)
        tell(optimizer, candidate, found[arch])
    best = max(found, key=found.__getitem__)
    print(f"{optimizer.num_tell} evaluations of {optimizer.num_ask} candidates; {guide.seconds:.1f} s of scoring")
    print(f"best {found[best]:.2f} %: {best}")


if __name__ == "__main__":
    main()
