"""CI, as far as it can be checked without GitHub, Windows and macOS: what runs, where, and whether it exists there."""

import ast
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tasks
from tools import environment

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
SYSTEMS = {"ubuntu-latest", "macos-latest", "windows-latest"}
CONTEXTS = {"matrix", "vars", "steps"}
# Of the standard library, and not on Windows.
POSIX_ONLY = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}


def load(name: str) -> dict:
    """A workflow, with `on`, which YAML 1.1 reads as True, under its own name."""
    workflow = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in workflow.items()}


def combinations(job: dict) -> list[dict]:
    """The values of the matrix for each run of a job; one without values where it has no matrix."""
    matrix = dict(job.get("strategy", {}).get("matrix", {}))
    included = matrix.pop("include", [])
    product = [dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values())]
    return included if included and not matrix else product + included


def expanded(value, matrix: dict, step_ids: set):
    """A job's text with its expressions replaced; fails at one whose name does not exist."""
    if isinstance(value, dict):
        return {key: expanded(inner, matrix, step_ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [expanded(inner, matrix, step_ids) for inner in value]

    def replaced(match):
        context, *names = match[1].split(".")
        assert context in CONTEXTS, match[0]
        assert context != "steps" or names[0] in step_ids, match[0]
        return str(matrix[names[0]]) if context == "matrix" else f"<{match[1]}>"

    return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", replaced, value) if isinstance(value, str) else value


def runs(workflow: dict) -> list[dict]:
    """Every run that a workflow starts: each job with each combination of its matrix."""
    found = []
    for job in workflow["jobs"].values():
        ids = {step["id"] for step in job["steps"] if "id" in step}
        found += [expanded(job, matrix, ids) for matrix in combinations(job)]
    return found


def faults(command: str, windows: bool) -> list[str]:
    """Say what keeps a command of a step from running."""
    program, *words = shlex.split(command)
    if windows and program != "python":
        return [f"{program} is not on every Windows"]
    if windows and any("/" in word or "$" in word for word in words):
        return [f"PowerShell and bash may read this differently: {command}"]
    if program == ".venv/bin/python":
        return []
    if program == "bash":
        return [] if (ROOT / words[0]).exists() else [f"there is no {words[0]}"]
    if program == "python" and words.pop(0) != "tasks.py" or program not in ("python", "make"):
        return [f"neither tasks.py nor make: {command}"]
    task, *settings = words
    unknown = [word for word in settings if word.partition("=")[0] not in tasks.SETTINGS]
    return [f"no task {task}"] * (task not in tasks.TASKS) + [f"no setting {word}" for word in unknown]


EVERY_RUN = [(name, run) for name in WORKFLOWS for run in runs(load(name))]
each_run = pytest.mark.parametrize(("name", "run"), EVERY_RUN, ids=[f"{n}-{i}" for i, (n, _) in enumerate(EVERY_RUN)])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_in_shape(name):
    workflow = load(name)
    assert {"name", "on", "permissions", "jobs"} <= set(workflow) and workflow["name"] == name
    for job in workflow["jobs"].values():
        assert {job.get("needs")} <= {None, *workflow["jobs"]}
    for entry in (workflow["on"].get("schedule") or []) if isinstance(workflow["on"], dict) else []:
        assert re.fullmatch(r"([0-5]?\d) ([01]?\d|2[0-3]) \S+ \S+ [0-7*]", entry["cron"])


@each_run
def test_every_step_of_a_run_can_start(name, run):
    assert run["runs-on"] in SYSTEMS
    assert "timeout-minutes" in run or not any("run" in step for step in run["steps"])
    for step in run["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
        else:
            assert faults(step["run"], windows="windows" in run["runs-on"]) == []


@pytest.mark.parametrize(
    ("command", "windows"),
    [
        ("make test", True),
        ("python tasks.py tset", False),
        ("python tasks.py env FRO=test", False),
        ("python -m pytest", False),
        ("bash .ci/ran", False),
        ("python tasks.py test tests/test_cells.py", True),
    ],
)
def test_the_dry_run_finds(command, windows):
    assert len(faults(command, windows)) == 1


def test_the_dry_run_finds_a_name_that_is_not_there():
    with pytest.raises(KeyError):
        expanded("${{ matrix.phyton }}", {"python": "3.11"}, set())
    with pytest.raises(AssertionError):
        expanded("${{ steps.deploy.url }}", {}, {"deployment"})


def test_a_push_runs_the_quick_tier_on_every_system_and_python():
    pushed = runs(load("test"))
    assert {"push", "pull_request"} <= set(load("test")["on"])
    pythons = [f"3.{minor}" for minor in range(environment.LOWEST[1], environment.BEYOND[1])]
    setups = [next(step["with"] for step in run["steps"] if "setup-python" in step.get("uses", "")) for run in pushed]
    where = [(run["runs-on"], setup["python-version"]) for run, setup in zip(pushed, setups, strict=True)]
    assert sorted(where) == sorted(itertools.product(SYSTEMS, pythons))
    assert all("python tasks.py test" in [step.get("run") for step in run["steps"]] for run in pushed)
    names = [step["with"]["name"] for run in pushed for step in run["steps"] if "upload" in step.get("uses", "")]
    assert len(set(names)) == len(pushed), "artifacts of one name would replace each other"


def test_a_week_runs_everything_locked_and_newest():
    weekly = runs(load("weekly"))
    assert "schedule" in load("weekly")["on"]
    assert {run["env"]["VERSIONS"] for run in weekly} == {"locked", "newest"}
    assert all("bash .ci/run all" in [step.get("run") for step in run["steps"]] for run in weekly)
    assert all(re.fullmatch(r"python:3\.1[1-3]-bookworm", run["container"]) for run in weekly)


# ---------------------------------------------------------------- .ci/run, with stand-ins for what it calls


@pytest.fixture
def dry(tmp_path):
    """A function that runs .ci/run where every program only notes its call; `fails` names the call that fails."""
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    script.write_bytes((ROOT / ".ci/run").read_bytes())
    programs = tmp_path / "programs"
    programs.mkdir()

    def run(fails="nothing", missing=(), words=("all",), **variables):
        for name in ("make", "npm", "chromium", "bwrap", "git", "node", "apt-get", "sudo", "sysctl"):
            if name not in missing:
                note = f'#!/bin/sh\necho "{name} $*" >> calls\ntest "{name} $*" != "{fails}"\n'
                (programs / name).write_text(note)
                (programs / name).chmod(0o755)
        for name in ("dirname", "id", "sh", "sleep", "bash"):
            if not (programs / name).exists():
                (programs / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
        done = subprocess.run(
            ["/bin/bash", script, *words], env={"PATH": str(programs), **variables}, capture_output=True, text=True
        )
        return done, (tmp_path / "calls").read_text().splitlines()

    return run


posix = pytest.mark.skipif(os.name == "nt", reason="no bash at a known place")


@posix
def test_ci_runs_the_readmes_command_and_then_only_the_rest(dry):
    done, calls = dry()
    assert done.returncode == 0, done.stderr
    assert [call for call in calls if call.startswith("make")] == [
        "make env FOR=test",
        "make test",
        "make check",
        "make env FOR=all",
        "make test-all ARGS=--tier=rest",
    ]


@posix
def test_ci_of_a_change_runs_the_readmes_command_alone(dry):
    _, calls = dry(words=())
    assert [call for call in calls if call.startswith("make")] == ["make env FOR=test", "make test", "make check"]


@posix
def test_ci_says_each_stage_with_its_seconds(dry):
    lines = dry()[0].stdout.splitlines()
    begun = [line for line in lines if re.fullmatch(r"== [\w' ,.-]+", line)]
    ended = [line for line in lines if re.fullmatch(r"== [\w' ,.-]+: \d+ s", line)]
    assert [line.rpartition(":")[0] for line in ended] == [*begun, "== all"]


@posix
@pytest.mark.parametrize("fails", ["make env FOR=test", "make test", "make check", "make test-all ARGS=--tier=rest"])
def test_ci_ends_at_the_first_stage_that_fails(dry, fails):
    done, calls = dry(fails)
    assert done.returncode != 0 and calls[-1] == fails


@posix
def test_ci_asks_debian_only_for_what_is_missing(dry):
    _, calls = dry(missing=["chromium", "bwrap"])
    (asked,) = (call for call in calls if "install -y" in call)
    assert asked.endswith("--no-install-recommends chromium bubblewrap")
    assert not any("apt-get" in call for call in dry()[1][len(calls) :])


def test_ci_requires_what_tests_skip_elsewhere():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    required = set(re.findall(r"RNNLAB_REQUIRE_\w+", "".join(p.read_text() for p in (ROOT / "tests").glob("*.py"))))
    assert required and required <= set(re.findall(r"(RNNLAB_REQUIRE_\w+)=1", script))
    assert os.access(ROOT / ".ci/run", os.X_OK) or os.name == "nt"


# ---------------------------------------------------------------- another system


def imported_at_once(path: Path) -> set[str]:
    """The packages that a file imports as it is loaded, and not in a function that may never be called."""
    waiting, found = list(ast.parse(path.read_text(encoding="utf-8")).body), set()
    for node in waiting:  # it grows
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return found


FILES = [
    path for folder in ("tools", "tests", "rnnlab", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_files_load_on_windows_as_well():
    found = {path.name: imported_at_once(path) & POSIX_ONLY for path in [ROOT / "tasks.py", *FILES]}
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_the_search_for_imports_looks_where_it_matters(tmp_path):
    source = "import os\nif os.name:\n    import fcntl\nclass A:\n    import pwd\ndef f():\n    import grp\n"
    (tmp_path / "a.py").write_text(source)
    assert imported_at_once(tmp_path / "a.py") & POSIX_ONLY == {"fcntl", "pwd"}


def test_tasks_give_paths_and_no_joined_texts(monkeypatch):
    """Whatever a task hands to a program as a path is a Path, a name below the root, or a NAME=value option."""
    ran = []
    monkeypatch.setattr(tasks, "make_environment", lambda *_: None)
    monkeypatch.setattr(tasks, "run", lambda *words, **_: ran.append(words) or 0)
    monkeypatch.setenv("COURSE", "course")
    monkeypatch.setenv("ASSIGNMENT", "ps1")
    for task in ("test", "test-all", "check", "grade", "bench"):
        tasks.main([task])
    texts = [word for words in ran for word in words if isinstance(word, str) and "/" in word]
    assert ran and [word for word in texts if not (ROOT / word).exists()] == []
    assert all(isinstance(words[0], Path) for words in ran)
    assert not any(sys.prefix in word for word in texts)
