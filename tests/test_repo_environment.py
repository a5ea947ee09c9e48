"""The environment: three levels that build on each other, each complete or made again, each said before it is made."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

import tasks
from tools import environment, installing, levels, running

ROOT = Path(__file__).resolve().parents[1]
LEVELS = levels.LEVELS


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """No setting from outside, and none left behind."""
    for name in tasks.SETTINGS:
        monkeypatch.setenv(name, "")
    return monkeypatch


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


class Workshop:
    """A .venv elsewhere, whose levels are made by a line in the file `made`; `commands` replaces that of a level."""

    def __init__(self, folder: Path):
        self.folder, self.commands, self.today = folder, {}, "today"
        self.packages = folder / ".venv" / "lib" / "python3" / "site-packages"

    def venv(self):
        code = f"import pathlib, shutil; p = pathlib.Path({str(self.packages)!r})"
        return python(f"{code}; shutil.rmtree(p.parents[2], True); p.mkdir(parents=True)")

    def install(self, level):
        package = f"open({str(self.packages / level)!r}, 'w')"
        return self.commands.get(level) or [
            python(f"{package}; open({str(self.folder / 'made')!r}, 'a').write('{level} ')")
        ]

    @property
    def made(self):
        path = self.folder / "made"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    shop = Workshop(tmp_path)
    for module in (environment, installing, levels):
        for name, path in {
            "ROOT": "",
            "ENV": ".venv",
            "STAMP": ".venv/complete",
            "UNFINISHED": ".venv/unfinished",
        }.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, tmp_path / path)
    monkeypatch.setattr(environment, "LOG", tmp_path / "logs" / "install.log")
    monkeypatch.setattr(levels, "stamp", lambda level: f"{level} {shop.today}")
    monkeypatch.setattr(levels, "gigabytes", lambda level: {"read": 1.6, "test": 2.0, "all": 4.0}[level])
    monkeypatch.setattr(installing, "venv_command", shop.venv)
    monkeypatch.setattr(installing, "torch_command", lambda cpu: python("pass"))
    monkeypatch.setattr(installing, "load_command", lambda: python("pass"))
    monkeypatch.setattr(installing, "install_commands", shop.install)
    return shop


# ---------------------------------------------------------------- complete, or made again


def test_a_complete_environment_is_made_once(workshop):
    environment.make_environment()
    environment.make_environment()
    assert workshop.made == ["read"]


def test_a_level_goes_on_top_and_is_enough_for_those_below(workshop):
    environment.make_environment("read")
    environment.make_environment("all")
    environment.make_environment("test")
    environment.make_environment("read")
    assert workshop.made == ["read", "test", "all"]


def test_a_change_makes_it_again_from_nothing(workshop):
    environment.make_environment("test")
    workshop.today = "tomorrow"
    environment.make_environment("read")
    assert workshop.made == ["read", "test", "read"]
    assert not (workshop.packages / "test").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_install_does_not_count(workshop, monkeypatch, stop):
    environment.make_environment()
    workshop.today = "tomorrow"

    def interrupted(*_, **__):
        raise stop

    monkeypatch.setattr(environment, "run", interrupted)
    with pytest.raises(stop):
        environment.make_environment()
    assert not levels.STAMP.exists()


def test_an_interrupted_level_leaves_the_one_below_and_no_half_package(workshop):
    environment.make_environment("read")
    workshop.commands["test"] = [python(f"open({str(workshop.packages / 'half')!r}, 'w'); raise SystemExit(1)")]
    with pytest.raises(running.Failure):
        environment.make_environment("test")
    assert levels.reached() == "read" and (workshop.packages / "half").exists()
    del workshop.commands["test"]
    environment.make_environment("read")
    environment.make_environment("test")
    assert levels.reached() == "test" and workshop.made == ["read", "test"]
    assert sorted(path.name for path in workshop.packages.iterdir()) == ["read", "test"]
    assert not environment.UNFINISHED.exists()


def test_a_level_that_may_replace_versions_takes_the_stamp_first(workshop, settings):
    environment.make_environment("read")
    settings.setenv("VERSIONS", "newest")
    workshop.commands["test"] = [python("raise SystemExit(1)")]
    with pytest.raises(running.Failure):
        environment.make_environment("test")
    assert levels.reached() is None


def test_a_failed_install_says_why_and_does_not_count(workshop):
    workshop.commands["read"] = [python("print('OSError: [Errno 28] No space left on device'); raise SystemExit(1)")]
    with pytest.raises(running.Failure, match=r"the disk is full \(details: logs.install.log\)"):
        environment.make_environment()
    assert levels.reached() is None
    assert "No space left" in environment.LOG.read_text()


def test_no_command_runs_after_a_failed_one(workshop, tmp_path):
    workshop.commands["read"] = [python("raise SystemExit(1)"), python(f"open({str(tmp_path / 'made')!r}, 'w')")]
    with pytest.raises(running.Failure, match="the installer failed"):
        environment.make_environment()
    assert not (tmp_path / "made").exists()


def test_an_environment_in_use_is_not_pulled_away(workshop, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(environment.ENV))
    with pytest.raises(running.Failure, match="deactivate"):
        environment.make_environment()


def test_a_symbolic_link_is_refused_and_not_followed(workshop, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "complete").write_text("another project's")
    environment.ENV.symlink_to(other, target_is_directory=True)
    with pytest.raises(running.Failure, match=r"\.venv is a symbolic link.*rm \.venv"):
        environment.make_environment()
    assert (other / "complete").read_text() == "another project's" and capsys.readouterr().out == ""


def test_it_says_first_what_it_makes_and_how_large(workshop, capsys):
    environment.make_environment("read")
    environment.make_environment("all")
    said = [line for line in capsys.readouterr().out.splitlines() if "GB" in line]
    assert "level `read`, to read" in said[0] and ": 1.6 GB, once" in said[0]
    assert "Adding to .venv the level `all`" in said[1] and "TensorFlow" in said[1] and ": 2.4 GB more" in said[1]


# ---------------------------------------------------------------- which level


@pytest.mark.parametrize(
    "words, level",
    [
        ("env", "read"),
        ("env FOR=test", "test"),
        ("env FOR=all", "all"),
        ("html", "read"),
        ("lab", "read"),
        ("test", "test"),
        ("check", "test"),
        ("grade COURSE=. ASSIGNMENT=ps1", "test"),
        ("bench", "all"),
        ("test-all", "all"),
    ],
)
def test_a_task_asks_for_its_level(monkeypatch, words, level):
    class Asked(Exception):
        pass

    def ask(which="read"):
        raise Asked(which)

    monkeypatch.setattr(tasks, "make_environment", ask)
    with pytest.raises(Asked, match=f"^{level}$"):
        tasks.main(words.split())


def test_another_level_is_refused(capsys):
    assert tasks.main(["env", "FOR=fun"]) == 2
    assert capsys.readouterr().err == "expected FOR=read, test or all, got FOR=fun\n"


def test_every_level_has_an_extra_a_purpose_a_size_and_a_measurement():
    assert set(LEVELS) <= set(levels.project()["project"]["optional-dependencies"])
    assert set(LEVELS) == set(levels.PURPOSES) == set(levels.project()["tool"]["rnnlab"]["gigabytes"])
    record = json.loads((ROOT / "benchmarks/results/environment.json").read_text(encoding="utf-8"))
    measured = {row["level"]: row["megabytes"] for row in record["rows"] if row["installer"] == "pip"}
    assert {level: round(measured[level] / 1000, 1) for level in LEVELS} == {
        level: levels.gigabytes(level) for level in LEVELS
    }
    assert f"{levels.gigabytes('read')} GB" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_level_holds_the_one_below():
    read, test, everything = (set(levels.requirements(level)) for level in LEVELS)
    assert read < test < everything == set(levels.requirements())
    names = {level: {line.partition("==")[0] for line in levels.requirements(level)} for level in LEVELS}
    assert {"torch", "keras", "jupyter-book", "pyarrow"} <= names["read"]
    assert not {"jax", "tensorflow-cpu", "optax"} & names["test"]
    assert not {"playwright", "jupyterhub", "nbgrader", "pytest"} & names["read"]


def imports(source: str) -> set[str]:
    """The packages that a source imports, wherever it does."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def imports_of_lessons() -> dict[str, str]:
    """What lessons and the files of evidence that they load import, each with where."""
    files, found = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), {}
    places = (ROOT / "notebooks", ROOT / "notebooks/evidence")
    for file in files:  # it grows
        source = file.read_text(encoding="utf-8")
        if file.suffix == ".ipynb":
            cells = [cell for cell in json.loads(source)["cells"] if cell["cell_type"] == "code"]
            source = "\n".join("".join(cell["source"]) for cell in cells if not cell["source"][0].startswith("%"))
        for name in imports(source):
            own = [place / f"{name}.py" for place in places if (place / f"{name}.py").exists()]
            files += [path for path in own if path not in files]
            if not own:
                found[name] = file.name
    return found


def test_whatever_a_lesson_imports_is_in_the_readers_level():
    found = imports_of_lessons()
    wanted = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in levels.requirements("read")}
    owners = importlib.metadata.packages_distributions()
    assert {"torch", "keras", "sklearn", "statsmodels"} <= set(found)
    for name in set(found) - sys.stdlib_module_names - {"rnnlab"}:
        names = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners[name]}
        assert names & wanted, f"{found[name]} imports {name}, which the level `read` does not name"


def test_fingerprint_knows_what_matters(tmp_path, monkeypatch):
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(levels, "ROOT", tmp_path)
    first = {level: levels.fingerprint(level) for level in LEVELS}
    assert len(set(first.values())) == 3
    pyproject = tmp_path / "pyproject.toml"
    before = pyproject.read_text()

    def changed():
        return [level for level in LEVELS if levels.fingerprint(level) != first[level]]

    for old, new, which in [
        ("line-length = 120", "line-length = 100", []),
        ("numpy==2.4.6", "numpy==2.4.5", ["read", "test", "all"]),
        ("pytest==9.2.0", "pytest==9.1.0", ["test", "all"]),
        ("jax==0.10.2", "jax==0.10.1", ["all"]),
    ]:
        assert old in before
        pyproject.write_text(before.replace(old, new))
        assert changed() == which
    pyproject.write_text(before)
    (tmp_path / "constraints.txt").write_text("")
    assert changed() == list(LEVELS)


# ---------------------------------------------------------------- what is installed, by what


@pytest.fixture
def by_pip(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(installing, "pip_command", lambda: ["pip"])


BEGIN = ["pip", "install", "--no-compile"]


def test_locked_versions_come_in_one_command(by_pip):
    assert installing.install_commands("read") == [[*BEGIN, "--constraint", "constraints.txt", "--editable", ".[read]"]]
    (command,) = installing.install_commands("test")
    assert command == [*BEGIN, "--constraint", "constraints.txt", *levels.requirements("test")]


def test_torch_alone_comes_from_the_other_index(by_pip, settings):
    settings.setenv("TORCH_INDEX", "file:///index")
    command = installing.torch_command(cpu=False)
    assert command == [*BEGIN, "--no-deps", "--index-url", "file:///index", "torch==2.13.0"]
    assert "--index-url" not in installing.install_commands("read")[0]


def test_newest_versions_are_held_only_where_pyproject_says(by_pip, settings):
    settings.setenv("VERSIONS", "newest")
    names, own = installing.install_commands("read")
    assert not any("==" in name.partition(";")[0] for name in names)
    assert "numpy" in names and "jupyter-book<2" in names
    assert own == [*BEGIN, "--no-deps", "--editable", "."]
    assert len(installing.install_commands("all")) == 1


def test_other_versions_are_refused(capsys):
    assert tasks.main(["env", "VERSIONS=latest"]) == 2
    assert "got VERSIONS=latest" in capsys.readouterr().err


@pytest.mark.parametrize(
    "there, asked, own_index, begins",
    [
        (False, "", False, "pip"),
        (True, "", False, "uv"),
        (True, "", True, "pip"),  # uv would ask another index than the one that pip's settings name
        (True, "uv", True, "uv"),
        (True, "pip", False, "pip"),
    ],
)
def test_uv_installs_where_it_is_there_and_asks_the_same_index(by_pip, settings, there, asked, own_index, begins):
    settings.setattr(shutil, "which", lambda name: "/bin/uv" if there else None)
    settings.setattr(installing, "has_own_index", lambda pip: own_index)
    settings.setenv("INSTALLER", asked)
    (command,) = installing.install_commands("test")
    assert command[0] == begins and {"--constraint", "constraints.txt"} <= set(command)
    assert ("--no-compile" in command) == (begins == "pip")  # uv compiles nothing unless asked


@pytest.mark.parametrize(
    "asked, line", [("uv", "there is no uv"), ("conda", "expected INSTALLER=pip or uv, got INSTALLER=c")]
)
def test_an_installer_that_is_not_there(by_pip, settings, asked, line):
    settings.setenv("INSTALLER", asked)
    with pytest.raises(running.Failure, match=line):
        installing.installer()


@pytest.mark.parametrize("setting", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", ""])
def test_pips_settings_are_asked_for_an_index(monkeypatch, setting):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    if setting:
        monkeypatch.setenv(setting, "1")
    assert installing.has_own_index([sys.executable, "-m", "pip"]) == bool(setting)


def stand_in(said: str, status: int) -> list[str]:
    return python(f"print({said!r}); raise SystemExit({status})")


ONLY_PLAIN = (
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu (from versions: 2.12.0, 2.13.0)\n"
)
ONLY_PLAIN += "ERROR: No matching distribution found for torch==2.13.0+cpu"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two builds under one name")
@pytest.mark.parametrize("status, said", [(0, "Successfully installed"), (1, ONLY_PLAIN)])
def test_the_cpu_build_of_torch_where_the_index_has_it_else_one_line(workshop, monkeypatch, capsys, status, said):
    monkeypatch.setattr(installing, "torch_command", lambda cpu: stand_in(said, status) if cpu else python("raise"))
    monkeypatch.setattr(levels, "project", lambda: {"tool": {"rnnlab": {"download": {"cuda": 2.7}}}})
    environment.make_environment()
    lines = [line for line in capsys.readouterr().out.splitlines() if "CUDA" in line]
    assert len(lines) == status and workshop.made == ["read"]
    assert all("2.7 GB to download" in line and "TORCH_INDEX=" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two builds under one name")
@pytest.mark.parametrize(
    "said, line",
    [
        (
            "(from versions: none)\nERROR: No matching distribution found for torch==2.13.0+cpu",
            "has no torch==2.13.0 for",
        ),
        ("NewConnectionError ... No matching distribution found for torch==2.13.0+cpu", "no network"),
    ],
)
def test_no_torch_at_all_is_no_lack_of_one_build(workshop, monkeypatch, said, line):
    monkeypatch.setattr(installing, "torch_command", lambda cpu: stand_in(said, 1))
    with pytest.raises(running.Failure, match=line):
        environment.make_environment()


def test_what_only_developers_of_packages_run_is_left_out(workshop):
    kept = ["torch/bin/torch_shm_manager", "torch/include/a.h", "pandas/testing.py", "numpy/testing/a.py"]
    gone = ["pandas/tests/a.py", "scipy/stats/tests/b/c.py", "torch/test/d", "torch/bin/protoc", "torch/bin/test_api"]
    for name in kept + gone:
        (workshop.packages / name).parent.mkdir(parents=True, exist_ok=True)
        (workshop.packages / name).touch()
    installing.leave_out()
    assert [(workshop.packages / name).exists() for name in kept + gone] == [True] * 4 + [False] * 5


@pytest.mark.parametrize(("second", "status"), [("json", 0), ("no_such_package", 1)])
def test_loading_fails_with_one_of_the_packages(monkeypatch, second, status):
    monkeypatch.setattr(installing, "PYTHON", sys.executable)
    monkeypatch.setattr(installing, "LOADED", ("ast", second))
    done = subprocess.run(installing.load_command(), capture_output=True, text=True)
    assert done.returncode == status
    assert not status or "a package does not load (No module named 'no_such" in installing.meaning(done.stderr)


@pytest.mark.parametrize(
    "log, meaning",
    [
        ("ConnectTimeoutError ... No matching distribution found for numpy==2.4.6", "no network"),
        ("NewConnectionError('...: [Errno -3] Temporary failure in name resolution')", "no network"),
        ("error sending request for url (simple/torch/)", "no network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "the package index has no torch==2.13.0"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28]", "the disk is full"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("ModuleNotFoundError: No module named 'keras'", "a package does not load (No module named 'keras')"),
        ("something else", "the installer failed"),
    ],
)
def test_meaning_of_a_log(log, meaning):
    assert meaning in installing.meaning(log)


def test_without_an_index_one_line_names_what_failed(tmp_path):
    """The one that runs the real pip, as far as it gets."""
    for name in ("tasks.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    hidden = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "INSTALLER": "pip"}
    command = [sys.executable, "tasks.py", "env"]
    result = subprocess.run(command, cwd=tmp_path, env=os.environ | hidden, capture_output=True, text=True)
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    missing = "torch==2.13.0" if sys.platform == "linux" else "setuptools"
    assert f"the package index has no {missing}" in line and "install.log" in line
    assert "No matching distribution" in (tmp_path / "logs" / "install.log").read_text()
    assert not (tmp_path / ".venv" / "complete").exists()


# ---------------------------------------------------------------- another system


@pytest.mark.parametrize(
    "env, system, programs",
    [
        (PureWindowsPath("C:/x/.venv"), "nt", "C:\\x\\.venv\\Scripts"),
        (PurePosixPath("/x/.venv"), "posix", "/x/.venv/bin"),
    ],
)
def test_programs_of_an_environment(env, system, programs):
    assert str(running.programs(env, system)) == programs


@pytest.mark.parametrize("layout", ["Lib/site-packages", "lib/python3.12/site-packages"])
def test_site_packages(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(installing, "ENV", tmp_path)
    (tmp_path / layout).mkdir(parents=True)
    assert installing.packages_folder() == tmp_path / layout


def test_tools_run_on_one_thread_find_each_other_and_keep_bytecode(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    variables = running.tool_environment()
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "1"
    assert variables["PATH"].split(os.pathsep)[0] == str(running.BIN)
    assert "PYTHONDONTWRITEBYTECODE" not in variables
