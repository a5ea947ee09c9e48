"""What holds the repository together: versions, floors, the README's commands, and what must never be stored."""

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import rnnlab
import tasks
from tools import environment, levels

ROOT = Path(__file__).resolve().parents[1]
MODULES = {path.stem: path for path in (ROOT / "rnnlab").glob("*.py") if path.stem != "__init__"}

FLOORS = (
    {
        "checks",
        "runs",
        "tapes",
        "threads",
        "checkpoints",
        "provenance",
        "gathering",
        "unrolled",
        "operands",
        "batches",
        "copying",
        "rouge",
        "decoding",
        "drawings",
        "scripts",
    },
    {
        "cells",
        "losses",
        "initializers",
        "optimizers",
        "clipping",
        "schedules",
        "tasks",
        "tables",
        "pools",
        "histories",
        "recording",
        "shipped",
        "texts",
        "convolutions",
        "ngrams",
        "forecasts",
        "ctc",
        "ctc_decoding",
        "warping",
    },
    {
        "lstm",
        "slstm",
        "graphs",
        "probes",
        "findings",
        "gru",
        "bptt",
        "regularizers",
        "sequences",
        "analogies",
        "adagrads",
        "adams",
        "adaptive_clipping",
        "jobs",
        "streams",
    },
    {
        "peepholes",
        "regularized",
        "scans",
        "stacks",
        "newer_optimizers",
        "frameworks",
        "conversions",
        "data_dates",
        "data_digits",
        "data_docstrings",
        "data_python_docs",
        "data_recordings",
        "data_reviews",
        "data_series",
    },
    {"recurrences", "models", "loops", "datasets"},
    {"attention", "training", "diagnostics"},
    {"torch_twin", "sweeps", "plots", "answers"},
    {"watching", "svg", "reports", "exercises"},
    {"doctor", "stage"},
    {"flipbook"},
    {"widgets"},
)
# What `import rnnlab` must not load: each costs more time than the whole of rnnlab, or is not installed everywhere.
NOT_LOADED = {
    "torch",
    "matplotlib",
    "ipywidgets",
    "pandas",
    "scipy",
    "statsmodels",
    "sklearn",
    "IPython",
    "threadpoolctl",
    "pyarrow",
    "cloudpickle",
    "distributed",
}
HEAVY = {
    "torch": {
        "torch_twin",
        "unrolled",
        "operands",
        "batches",
        "recording",
        "probes",
        "findings",
        "watching",
        "doctor",
        "scripts",
    },
    "matplotlib": {"plots", "stage"},
    "ipywidgets": {"widgets"},
    "pandas": {"tables"},
    "pyarrow": {"tables"},
    "cloudpickle": {"jobs", "gathering"},
    "distributed": set(),
}

# Imports of the environment of `make test-all`, and what brings them.
OF_ALL = {"jax": "jax", "mutmut": "mutmut", "optax": "optax", "tensorflow": "tensorflow-cpu"}

NEVER_STORED = {
    "a path of one machine": r"(?<![\w.])/(?:root|work|tmp|home/\w+|Users/\w+)/[\w.]|[A-Z]:\\\\?Users\\",
    "a package index": r"(?:pypi|pythonhosted|npmjs|anaconda|download[.]pytorch)[.](?:org|com)",
    "a secret": r"-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{36}|\bAKIA[0-9A-Z]{16}\b|\bxox[bp]-\d",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def canonical(requirement: str) -> str:
    """A requirement with its name as package indexes compare it, without a condition: `vega_datasets==1; ...` is
    `vega-datasets==1`."""
    name, pin, version = requirement.partition(";")[0].strip().partition("==")
    return re.sub(r"[-_.]+", "-", name).lower() + pin + version


def imported(source: str) -> set[str]:
    """The absolute names that a source imports, wherever it does: `rnnlab.cells`, `torch`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floors"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


# ---------------------------------------------------------------- versions


def test_every_direct_requirement_is_pinned_and_so_constrained():
    requirements = {canonical(line) for line in levels.requirements()}
    assert "torch==2.13.0" in requirements
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in requirements)
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    assert len(lines) > len(requirements)
    assert requirements <= {canonical(line) for line in lines}


def test_constraints_hold_for_other_builds_and_machines():
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "a local build (+cpu), a URL or a path"


@pytest.mark.parametrize("level", ["test", pytest.param("all", marks=pytest.mark.needs("tensorflow"))])
def test_constraints_fit_every_python_of_the_range(level):
    """A package may drop patch releases: soupsieve 4 needs 3.11.5, and Debian 12 has 3.11.2."""
    held = dict(line.split("==") for line in read("constraints.txt").splitlines() if not line.startswith("#"))
    pythons = [f"3.{minor}.0" for minor in range(environment.LOWEST[1], environment.BEYOND[1])]
    for package in importlib.metadata.distributions():
        if held.get(package.name) == package.version:
            wanted = SpecifierSet(package.metadata.get("Requires-Python") or "")
            assert all(map(wanted.contains, pythons)), f"{package.name} {package.version} needs Python {wanted}"


def test_conda_route_has_the_same_versions():
    """Those of the readers."""
    dependencies = yaml.safe_load(read("environment.yml"))["dependencies"]
    pip = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    assert pip[0] == "--constraint constraints.txt" and pip[-1] == "--editable ."
    assert pip[1:-1] == levels.requirements("read")


def test_one_range_of_pythons_everywhere():
    low, beyond = (".".join(map(str, version)) for version in (environment.LOWEST, environment.BEYOND))
    assert levels.project()["project"]["requires-python"] == f">={low},<{beyond}"
    assert f"{environment.LOWEST} <= sys.version_info[:2] < {environment.BEYOND}" in read("Makefile")
    assert f"python={low}" in yaml.safe_load(read("environment.yml"))["dependencies"]


def test_one_version_of_the_project_everywhere():
    version = levels.project()["project"]["version"]
    assert rnnlab.__version__ == version
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    assert re.search(rf"^## {re.escape(version)}\b", read("CHANGELOG.md"), re.MULTILINE)


def test_imports_are_requirements():
    """Every package that a Python file names is one that pyproject.toml names, not one that came along with another."""
    distributions = importlib.metadata.packages_distributions()
    wanted = {canonical(line).partition("==")[0] for line in levels.requirements()}
    own = {"rnnlab", "tasks", "tools", "benchmarks", "grading"}
    own |= {
        path.stem for folder in ("tests", "notebooks", "notebooks/evidence") for path in (ROOT / folder).glob("*.py")
    }
    for path in tracked("*.py"):
        names = {name.partition(".")[0] for name in imported(path.read_text(encoding="utf-8"))}
        for name in names - own - sys.stdlib_module_names:
            owners = {canonical(owner) for owner in distributions.get(name, [OF_ALL.get(name, "not installed")])}
            assert owners & wanted, f"{path.relative_to(ROOT)} imports {name}, of {owners}"


# ---------------------------------------------------------------- the module's floors


def floor_faults(name: str, source: str) -> list[str]:
    """Say which imports of a module of `rnnlab` reach up, sideways, or for a package that is not its to load."""
    floor = next(level for level, names in enumerate(FLOORS) if name in names)
    below = set().union(*FLOORS[:floor])
    names = imported(source)
    inner = {other.split(".")[1] for other in names if other.startswith("rnnlab.")}
    faults = [f"{name} imports {other}" for other in sorted(inner - below)]
    if inner == set() and "rnnlab" in names:
        faults.append(f"{name} imports the whole package")
    outer = {other.partition(".")[0] for other in names}
    return faults + [
        f"{name} imports {heavy}" for heavy, owners in HEAVY.items() if heavy in outer and name not in owners
    ]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_from_floors_below(name):
    assert floor_faults(name, MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "name, source",
    [
        ("cells", "from rnnlab.models import Model"),
        ("cells", "from rnnlab import losses"),
        ("bptt", "import rnnlab.training"),
        ("models", "def f():\n    import torch.nn"),
        ("training", "from matplotlib import pyplot"),
        ("plots", "import ipywidgets"),
        ("cells", "import rnnlab as rl"),
    ],
)
def test_the_floors_catch(name, source):
    assert len(floor_faults(name, source)) == 1


def test_contributing_draws_the_same_floors():
    rows = re.findall(r"^\| (\d+) \| (`.*`) \|$", read("CONTRIBUTING.md"), re.MULTILINE)
    drawn = {int(level): set(re.findall(r"`(\w+)`", names)) for level, names in rows}
    assert drawn == {level: names & MODULES.keys() for level, names in enumerate(FLOORS)}


def test_import_is_light():
    code = f"import sys, rnnlab; print(*sorted(sys.modules.keys() & {set(HEAVY) | NOT_LOADED}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_public_names_are_documented():
    assert len(set(rnnlab.__all__)) == len(rnnlab.__all__)
    for name in rnnlab.__all__:
        value = getattr(rnnlab, name)
        doc = (value.__doc__ or "").strip()
        # A dataclass without a docstring of its own gets its signature as one.
        assert doc and not doc.startswith(f"{name}("), f"{name} has no docstring"
        assert re.match(r"[A-Z].*[.:)]$", doc.splitlines()[0]), f"first line of {name}: {doc.splitlines()[0]}"


def test_the_package_ships_its_files():
    shipped = levels.project()["tool"]["setuptools"]["package-data"]["rnnlab"]
    others = [path for path in tracked("rnnlab/*") if path.suffix != ".py"]
    assert all(any(path.match(pattern) for pattern in shipped) for path in others)


def test_doctests_are_collected():
    options = levels.project()["tool"]["pytest"]["ini_options"]
    assert "--doctest-modules" in options["addopts"] and "rnnlab" in options["testpaths"]


# ---------------------------------------------------------------- the pages for newcomers


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "book/how_to_use.md", "book/instructors.md"]
)
def test_commands_exist(page):
    commands = re.findall(r"(?:\bmake|tasks\.py) ([a-z]+)\b", read(page).replace("without make", ""))
    commands = [name for name in commands if name not in ("they", "it")]
    assert commands and set(commands) <= set(tasks.TASKS), set(commands) - set(tasks.TASKS)


def test_the_readme_lists_every_task():
    rows = re.findall(r"^\| `make ([a-z-]+).*?`", read("README.md"), re.MULTILINE)
    assert sorted(rows) == sorted(tasks.TASKS)


def test_targets_of_the_makefile_are_the_tasks():
    assert re.search(r"^TASKS := (.*)$", read("Makefile"), re.MULTILINE)[1].split() == list(tasks.TASKS)


def test_the_readme_has_code():
    assert len(python_blocks(read("README.md"))) == 3


@pytest.mark.parametrize("number", range(3))
def test_code_in_the_readme_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a checkpoint
    exec(compile(python_blocks(read("README.md"))[number], "README.md", "exec"), {})


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", read(page))
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []


def test_citation_has_what_readers_of_it_need():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(citation)
    assert citation["authors"] and all(author.get("name") for author in citation["authors"])


def test_licences():
    assert "BSD 3-Clause License" in read("LICENSE") and "Redistribution and use" in read("LICENSE")
    assert "Attribution 4.0 International" in read("LICENSE-TEXT")
    assert levels.project()["project"]["license"] == "BSD-3-Clause"


# ---------------------------------------------------------------- what must never be stored


def tracked(pattern: str = "*") -> list[Path]:
    """The files that git stores."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", pattern]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).exists()]


def never_stored(text: str) -> list[str]:
    """Say what a text holds that no file may."""
    found = ((what, re.search(pattern, text)) for what, pattern in NEVER_STORED.items())
    return [f"{what}: {match[0]}" for what, match in found if match]


def test_no_file_names_a_machine_an_index_or_a_secret():
    files = [path for path in tracked() if path.suffix not in (".png", ".npz", ".ico", ".woff2")]
    assert len(files) > 20
    # Tables are binary, but the texts in them, such as the source of what made them, can be read.
    errors = {path: "replace" if path.suffix == ".parquet" else "strict" for path in files}
    faults = {path.name: never_stored(path.read_text(encoding="utf-8", errors=errors[path])) for path in files}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize(
    "text",
    [
        "open('" + "/ho" + "me/ada/data.npz')",
        "File " + "/ro" + "ot/.venv/lib",
        "--index-url https://download.py" + "torch.org/whl",
        "-----BEGIN RSA PRI" + "VATE KEY-----",
    ],
)
def test_the_search_finds(text):
    assert len(never_stored(text)) == 1


def test_no_product_is_stored():
    names = [path.relative_to(ROOT).as_posix() for path in tracked()]
    products = re.compile(
        r"^(?:\.venv|logs|build|book/_build|notebooks/coursework/(?!source/)[^/]+/)|\.(?:db|csv|pyc)$"
    )
    assert [name for name in names if products.search(name)] == []


# ---------------------------------------------------------------- lessons


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_a_code_cell_of_a_lesson_has_at_most_25_lines(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not [source.splitlines()[0] for source in sources if len(source.splitlines()) > 25]
