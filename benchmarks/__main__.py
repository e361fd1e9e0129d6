"""`make bench [ONLY=startup]`: runs each benchmark here and writes what it found into docs/benchmarks.md."""

import importlib
import pkgutil
import sys

import benchmarks
from benchmarks import table


def main(names: list[str]) -> None:
    every = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    for name in names or [name for name in every if name not in ("table", "__main__")]:
        measure = getattr(importlib.import_module(f"benchmarks.{name}"), "measure", None)
        if measure is not None:
            print(f"{name} …", flush=True)
            table.write(name, measure())


if __name__ == "__main__":
    main(sys.argv[1:])
