"""A loop of your own around one of our searchers: two architectures are out at a time, as with two machines.

    python benchmarks/examples/adapters/ask_tell_search.py

The accuracies are those of Digits-201, the small table that comes with zeroscore.
"""

from __future__ import annotations

from digits_objective import digits_accuracy

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.ask_tell import AskTell


def main() -> None:
    space, accuracy = zs.load_space("nasbench201"), digits_accuracy()
    guide = ScoreGuide(space, "naswot", images=zs.load_images("noise", batch=8, shape=(3, 8, 8)))
    loop = AskTell(space, "assisted_evolution", guide, seed=0, pool=20, population=10)
    for _ in range(15):
        for arch in [loop.ask(), loop.ask()]:
            loop.tell(arch, accuracy(arch))
    print(f"{len(loop.history)} evaluations; {guide.seconds:.1f} s of scoring")
    print(f"best {loop.best.value:.2f} %: {loop.best.arch}")


if __name__ == "__main__":
    main()
