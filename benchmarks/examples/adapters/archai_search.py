"""archai's evolutionary Pareto search over our score and a cost, from the best-scored models of a pool.

python benchmarks/examples/adapters/archai_search.py
"""

from __future__ import annotations

import tempfile

from archai.discrete_search.algos.evolution_pareto import EvolutionParetoSearch
from archai.discrete_search.api import SearchObjectives

import zeroscore as zs
from zeroscore.adapters import ScoreGuide
from zeroscore.adapters.archai import ArchaiSpace, ScoreEvaluator


def main() -> None:
    space, images = zs.load_space("nats_size"), zs.load_images("noise", batch=8, shape=(3, 16, 16))
    with tempfile.TemporaryDirectory() as folder:
        archs = ArchaiSpace(space)
        objectives = SearchObjectives()
        objectives.add_objective("naswot", ScoreEvaluator("naswot", images), higher_is_better=True)
        objectives.add_objective("parameters", ScoreEvaluator("params", images), higher_is_better=False)
        start = archs.save_best(ScoreGuide(space, "naswot", images=images, pool=12), 4, f"{folder}/start")
        search = EvolutionParetoSearch(archs, objectives, folder, num_iters=3, initial_population_paths=start)
        front = search.search().get_pareto_frontier()
    print(f"{len(front['models'])} models on the front")
    for model, *values in zip(front["models"], *front["evaluation_results"].values(), strict=True):
        print(model.metadata["arch"], *(f"{value:.6g}" for value in values))


if __name__ == "__main__":
    main()
