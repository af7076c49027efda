"""What a board of many records costs: CPU seconds and memory of a build, size and speed of its page.

python benchmarks/leaderboard.py [--json PATH] [--scale S]

- build_10k_*: `mmbench leaderboard build` of 10,000 records of 834 arms in six columns, in its own process;
- page_*: size of that board's page, and seconds of a sort of its table in Chromium, where that is installed;
- build_100k_*: the same of 100,000 records of 20 arms;
- growth: CPU seconds per record of 10,000 over those of 2,500, without what a build of 24 records costs.

`--scale 0.01` takes a hundredth of the records, to try the script. Values are drawn from seed 0.
"""

import argparse
import datetime
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.environment import Provenance
from mmbench.records.store import DatasetReference, Metric, Result, ResultStore
from mmbench.verification import with_digest

GOALS = {
    "build_10k_cpu_seconds": 15.0,
    "build_10k_megabytes": 700.0,
    "page_megabytes": 3.0,
    "page_sort_seconds": 0.3,
    "build_100k_cpu_seconds": 60.0,
    "growth": 1.2,
}
COLUMNS: dict[str, tuple[str, int, dict[str, Any]]] = {  # task: protocol, images, settings
    "knn": ("knn/patterns@2", 2000, {"neighbours": 20, "temperature": 0.1}),
    "linear": ("linear/patterns@2", 2000, {"weight_decays": [0.1]}),
    "lowshot": ("lowshot/k@2", 2000, {"shots": 4}),
    "logreg": ("logreg/lbfgs@3", 2000, {"candidates": 45}),
    "finetune": ("finetune/patterns@2", 2000, {"epochs": 10}),
    "dense": ("dense/patterns@1", 120, {"epochs": 5}),
}
SEEDS = 10  # of pretraining at most; further records of an arm are further transfer seeds
CREATED = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
PROVENANCE = Provenance(
    mmbench="0.1.0",
    git_sha="0123456789abcdef0123456789abcdef01234567",
    git_dirty=False,
    python="3.11.2",
    packages={"torch": "2.15.0", "timm": "1.0.31"},
    platform="Linux-6.1-x86_64",
    processor="a processor",
    cpu_count=2,
    threads=1,
    device="cpu",
)
BUILD = """
import json, resource, sys
from pathlib import Path
from mmbench.leaderboard.build import build
build(Path(sys.argv[1]), Path(sys.argv[2]), "arm-0000")
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
SORT = """() => {
  const table = DataTable.tables({api: true});
  const seconds = [];
  for (const order of ["desc", "asc", "desc"]) {
    const started = performance.now();
    table.order([[2, order]]).draw();
    seconds.push((performance.now() - started) / 1000);
  }
  return seconds.sort()[1];
}"""


def write_records(root: Path, count: int, arms: int) -> None:
    """Write `count` records, each column and seed of every arm in turn, as `ResultStore.write` does."""
    store, generator = ResultStore(root), np.random.default_rng(0)
    levels = generator.normal(60, 6, arms)
    runs_per_arm = max(1, -(-count // (arms * len(COLUMNS))))
    written = 0
    for arm in range(arms):
        for run in range(runs_per_arm):
            for place, (task, (protocol, images, config)) in enumerate(COLUMNS.items()):
                if written == count:
                    return
                value = float(np.clip(levels[arm] + 3 * place + generator.normal(0, 0.8), 1, 99))
                result = record(arm, run, task, round(value * images / 100) * 100 / images)
                path = store.path_of(result.model, protocol, result.dataset, config, result.seed)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(with_digest(json.loads(result.model_dump_json())), indent=2))
                written += 1


def record(arm: int, run: int, task: str, value: float) -> Result:
    protocol, images, config = COLUMNS[task]
    seed = run % SEEDS
    name = f"arm-{arm:04d}"
    card = ModelCard(
        arm=name,
        arch="mixmask_resnet8",
        method=f"method-{arm:04d}",
        framework="moco",
        masking="mixmask",
        pretrain_data="patterns",
        epochs=8,
        seed=seed,
        pretrain_seconds=100 + arm + seed / 7,
        preprocessing=Preprocessing(image_size=32),
        source_format="run",
        source_sha256=hashlib.sha256(f"{name} {seed}".encode()).hexdigest(),
    )
    metric = Metric(value=value, higher_is_better=True, n=images)
    return Result(
        created=CREATED + datetime.timedelta(seconds=60 * arm + run),
        model=card,
        task=task,
        dataset=DatasetReference(name="patterns", fingerprint="ab" * 32, split_sizes={"train": 4000}),
        protocol=protocol,
        metrics={"mIoU" if task == "dense" else "top1": metric},
        primary_metric="mIoU" if task == "dense" else "top1",
        seed=run,
        config=config,
        provenance=PROVENANCE,
        wall_seconds=12.5 + value / 7 + run,
    )


def cost(folder: Path, count: int, arms: int) -> tuple[float, float]:
    """Build a board in a process of its own; return its CPU seconds and its largest memory in MB."""
    records, out = folder / f"records-{count}", folder / f"board-{count}"
    write_records(records, count, arms)
    answer = subprocess.run(
        [sys.executable, "-c", BUILD, str(records), str(out)], capture_output=True, text=True
    )
    shutil.rmtree(records)
    if answer.returncode:
        raise RuntimeError(answer.stderr.strip().splitlines()[-1])
    seconds, megabytes = json.loads(answer.stdout.splitlines()[-1])
    return float(seconds), float(megabytes)


def sort_seconds(page: Path) -> float:
    """Return the seconds of sorting the page's table by a column of scores, in Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("there is no chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_function("window.DataTable && DataTable.tables().length")
        found = float(tab.evaluate(SORT))
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", choices=("10k", "100k"))
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    problems: list[str] = []

    def few(number: int, least: int = 24) -> int:
        return max(least, round(number * float(arguments.scale)))

    def attempt(what: str, work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            problems.append(f"{what}: {type(error).__name__}: {error}")
            return None

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arms = few(834, 4)
        if arguments.only != "100k":
            none = attempt("24 records", lambda: cost(folder, 24, 4))
            quarter = attempt("2,500 records", lambda: cost(folder, few(2500, 48), -(-arms // 4)))
            whole = attempt("10,000 records", lambda: cost(folder, few(10000, 96), arms))
            if whole:
                found["build_10k_cpu_seconds"], found["build_10k_megabytes"] = whole
                page = folder / f"board-{few(10000, 96)}" / "index.html"
                found["page_megabytes"] = page.stat().st_size / 1e6
                if sort := attempt("sorting the page", lambda: sort_seconds(page)):
                    found["page_sort_seconds"] = sort
            if none and quarter and whole and quarter[0] > none[0]:
                ratio = few(10000, 96) / few(2500, 48)
                found["growth"] = (whole[0] - none[0]) / (quarter[0] - none[0]) / ratio
        if arguments.only != "10k":
            many = attempt("100,000 records", lambda: cost(folder, few(100000, 192), few(20, 4)))
            if many:
                found["build_100k_cpu_seconds"] = many[0]
    for name, goal in GOALS.items():
        value = f"{found[name]:.3f}" if name in found else "not measured"
        print(f"{name}: {value} (goal: at most {goal})")
    for problem in problems:
        print(f"failed: {problem}")
    rows = {name: {"value": found.get(name), "goal": goal, "better": "lower"} for name, goal in GOALS.items()}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
