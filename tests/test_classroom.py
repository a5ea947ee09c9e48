"""The whole classroom on loopback: a real JupyterHub, an instructor, two students, nbgrader's exchange between them.

Everything goes through the users' own servers, by the requests that the buttons of JupyterLab send; only the grader
runs beside them, as in an instructor's terminal. And the files for a class of one's own are checked for validity.
"""

import csv
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from coursework_submissions import FAULTS, MANUAL, filled_in, grading, solutions

ROOT = Path(__file__).resolve().parents[1]
CLASSROOM, COURSEWORK = ROOT / "classroom", ROOT / "notebooks" / "coursework"
NAME, COURSE_ID = "ps1_bptt", "rnnlab"
PROXY = "configurable-http-proxy"
FAULT = next(fault for fault in FAULTS if fault.name == "missing tanh derivative")
START_S = 120  # what a busy machine may need; each wait ends as soon as its condition holds


# ---------------------------------------------------------------- a hub


def proxy_command() -> str:
    """Return JupyterHub's proxy, a program of Node's; without it skip with a reason, or fail where it is required."""
    found = shutil.which(PROXY) or shutil.which(PROXY, path=str(ROOT / ".node" / "node_modules" / ".bin"))
    if found is None:
        reason = f"no {PROXY}: npm install --prefix .node {PROXY}@4.6.3"
        pytest.fail(reason) if os.environ.get("RNNLAB_REQUIRE_HUB") == "1" else pytest.skip(reason)
    return found


def free_ports(n: int) -> list[int]:
    """Return ports that are free now."""
    with_names = [socket.socket() for _ in range(n)]
    for one in with_names:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in with_names]
    for one in with_names:
        one.close()
    return ports


class Hub:
    """A hub that runs, and requests to it and to the servers of its users."""

    def __init__(self, place: Path, process: subprocess.Popen, port: int, token: str):
        self.place, self.process, self.port, self.token = place, process, port, token

    def ask(self, method: str, path: str, data=None):
        """Send a request and return what came back, read as JSON where it is; an error status raises."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=START_S) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            said = error.read().decode()[:2000]
            raise AssertionError(f"{method} {path}: {error.code} {said}\n{self.log()}") from error
        return json.loads(text) if text[:1] in ("{", "[") else text

    def user(self, name: str, method: str, path: str, data=None):
        """Send a request to the server of a user."""
        return self.ask(method, f"/user/{name}/{path}", data)

    def log(self) -> str:
        return (self.place / "hub.log").read_text(errors="replace")[-3000:]

    def wait(self, what: str, condition):
        """Wait until a condition holds; fail with the hub's log if it does not."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if found := condition():
                    return found
            except (OSError, AssertionError):
                pass
            time.sleep(0.3)
        pytest.fail(f"no {what}:\n{self.log()}", pytrace=False)

    def start_servers(self, users):
        """Start the users' servers side by side and wait until all answer."""
        for name in users:
            self.ask("POST", f"/hub/api/users/{name}/server")
        for name in users:
            self.wait(f"server of {name}", lambda name=name: self.user(name, "GET", "api/status"))

    def stop(self, users):
        """Stop the users' servers, then the hub and its proxy, each by what started it."""
        for name in users:
            try:
                self.ask("DELETE", f"/hub/api/users/{name}/server")
            except (OSError, AssertionError):
                continue
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The hub of classroom/jupyterhub_config.py, with the servers of all three started."""
    proxy, place = proxy_command(), tmp_path_factory.mktemp("classroom")
    port, inner, api = free_ports(3)
    token = secrets.token_hex(16)
    settings = {
        "RNNLAB_CLASSROOM": place,
        "RNNLAB_HUB_PORT": port,
        "RNNLAB_HUB_INNER_PORT": inner,
        "RNNLAB_HUB_PROXY_PORT": api,
        "RNNLAB_HUB_PROXY": proxy,
        "RNNLAB_HUB_TOKEN": token,
        "RNNLAB_PASSWORD": secrets.token_hex(8),
    }
    command = [sys.executable, "-m", "jupyterhub", "-f", str(CLASSROOM / "jupyterhub_config.py")]
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    with (place / "hub.log").open("w") as log:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=subprocess.STDOUT)
    hub = Hub(place, process, port, token)
    users = ("instructor", "ada", "ben")
    try:
        hub.wait("hub", lambda: hub.ask("GET", "/hub/api/"))
        hub.start_servers(users)
        yield hub
    finally:
        hub.stop(users)


# ---------------------------------------------------------------- a problem set goes round


def act(hub, name, action):
    """Press a student's button for the problem set: fetch, submit, fetch_feedback."""
    listed = hub.user(name, "POST", f"assignments/{action}", {"assignment_id": NAME, "course_id": COURSE_ID})
    assert listed["success"], listed
    return listed


def manage(hub, action):
    """Press an instructor's button in formgrader: assign, release, collect, ..."""
    done = hub.user("instructor", "POST", f"formgrader/api/assignment/{NAME}/{action}")
    assert done["success"], f"{action}: {done.get('error')}\n{done.get('log')}"
    return done


def solve(hub, name, answers):
    """Open the fetched notebook in a student's server, write answers into it and save it there."""
    path = f"api/contents/{NAME}/{NAME}.ipynb"
    fetched = nbformat.from_dict(hub.user(name, "GET", path)["content"])
    solved = filled_in(fetched, answers)
    hub.user(name, "PUT", path, {"type": "notebook", "format": "json", "content": solved})
    return fetched


def run_grader(hub, course):
    """Grade as the instructor does in a terminal: `make grade` without make."""
    environment = os.environ | {"HOME": str(course.parent), "PYTHONPATH": str(ROOT), "RNNLAB_COURSE": str(course)}
    command = [sys.executable, "-m", "grading", str(course), NAME]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def term(hub):
    """One problem set from the instructor's folder to the students' feedback; what was seen on the way."""
    seen = SimpleNamespace(hub=hub, homes=hub.place / "home", course=hub.place / "home" / "instructor" / COURSE_ID)
    shutil.copytree(COURSEWORK / "source" / NAME, seen.course / "source" / NAME)
    manage(hub, "assign")
    manage(hub, "release")
    source = nbformat.read(seen.course / "source" / NAME / f"{NAME}.ipynb", 4)
    right = solutions(source) | {MANUAL: "The immediate derivative holds the later states fixed."}
    wrong = right | {FAULT.cell: FAULT.plant(right[FAULT.cell])}
    seen.fetched = {}
    for name, answers in (("ada", right), ("ben", wrong)):
        seen.offered = hub.user(name, "GET", f"assignments?course_id={COURSE_ID}")
        act(hub, name, "fetch")
        seen.fetched[name] = solve(hub, name, answers)
        act(hub, name, "submit")
    manage(hub, "collect")
    seen.collected = sorted(path.name for path in (seen.course / "submitted").iterdir())
    seen.said = run_grader(hub, seen.course)
    manage(hub, "generate_feedback")
    manage(hub, "release_feedback")
    for name in ("ada", "ben"):
        act(hub, name, "fetch_feedback")
    return seen


def test_what_students_get_has_no_solutions(term):
    assert [one["assignment_id"] for one in term.offered["value"]] == [NAME]
    for notebook in term.fetched.values():
        text = nbformat.writes(notebook)
        assert "HIDDEN TESTS" not in text and "BEGIN SOLUTION" not in text and "Marking guide" not in text
        assert {grading(cell).get("grade_id") for cell in notebook.cells} >= {FAULT.cell, MANUAL}


def test_both_hand_in_under_their_own_names(term):
    assert term.collected == ["ada", "ben"]


def test_the_grades_are_those_that_were_earned(term):
    with (term.course / "grades.csv").open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"ada", "ben"} and {row["assignment"] for row in rows.values()} == {NAME}
    source = nbformat.read(term.course / "source" / NAME / f"{NAME}.ipynb", 4)
    points = {grading(cell)["grade_id"]: grading(cell)["points"] for cell in source.cells if grading(cell).get("grade")}
    by_hand, lost = points[MANUAL], sum(points[test] for test in FAULT.loses)
    assert lost > 0 and float(rows["ada"]["points"]) == sum(points.values()) - by_hand
    assert float(rows["ben"]["points"]) == float(rows["ada"]["points"]) - lost
    assert all(float(row["max_points"]) == sum(points.values()) for row in rows.values())


def test_feedback_comes_back_to_whom_it_belongs(term):
    pages = {name: list((term.homes / name / NAME / "feedback").rglob("*.html")) for name in ("ada", "ben")}
    assert all(len(found) == 1 for found in pages.values()), pages
    ada, ben = (pages[name][0].read_text(encoding="utf-8") for name in ("ada", "ben"))
    assert ada != ben
    for text in (ada, ben):
        assert "HIDDEN TESTS" not in text and "https://" not in text.replace("https://www.w3.org", "")


def test_the_students_servers_see_nothing_to_grade(term):
    """formgrader in a student's server finds no course: theirs is not the instructor's account."""
    listed = term.hub.user("ada", "GET", "formgrader/api/assignments")
    assert all(one["num_submissions"] == 0 for one in listed), listed


# ---------------------------------------------------------------- the files for a class of one's own

TLJH = {
    "users": {"admin", "allowed", "banned", "extra_user_groups"},
    "auth": {"type", "FirstUseAuthenticator"},
    "limits": {"memory", "cpu"},
    "services": {"cull"},
    "services.cull": {"enabled", "timeout", "every", "concurrency", "users", "max_age"},
    "https": {"enabled", "address", "port", "tls", "letsencrypt"},
    "https.letsencrypt": {"email", "domains", "staging"},
    "user_environment": {"default_app"},
}
Z2JH = {
    "hub": {"config", "extraConfig", "extraEnv", "db", "image", "services", "resources", "networkPolicy"},
    "proxy": {"https", "service", "chp", "traefik"},
    "proxy.https": {"enabled", "type", "hosts", "letsencrypt", "manual", "secret"},
    "proxy.https.letsencrypt": {"contactEmail", "acmeServer"},
    "singleuser": {"image", "defaultUrl", "memory", "cpu", "storage", "networkPolicy", "extraFiles", "extraEnv"},
    "singleuser.image": {"name", "tag", "pullPolicy", "pullSecrets"},
    "singleuser.memory": {"limit", "guarantee"},
    "singleuser.cpu": {"limit", "guarantee"},
    "singleuser.storage": {
        "type",
        "capacity",
        "homeMountPath",
        "dynamic",
        "static",
        "extraVolumes",
        "extraVolumeMounts",
    },
    "singleuser.networkPolicy": {"enabled", "ingress", "egress", "egressAllowRules"},
    "cull": {"enabled", "users", "timeout", "every", "concurrency", "maxAge", "removeNamedServers"},
    "scheduling": {"userScheduler", "userPlaceholder", "podPriority", "corePods", "userPods"},
    "prePuller": {"hook", "continuous", "extraImages", "pause", "annotations"},
}


def unknown_keys(tree, known):
    """Return the keys of nested settings that stand where a group has a list of its own and are not in it."""
    groups = {"": {path for path in known if "." not in path}, **known}
    unknown = []

    def look(part, path):
        for key, value in part.items():
            below = f"{path}.{key}".lstrip(".")
            if key not in groups.get(path, {key}):
                unknown.append(below)
            if isinstance(value, dict):
                look(value, below)

    look(tree, "")
    return unknown


def faults(config, classes):
    """Say which settings belong to no class, or to a class that has no such setting."""
    found = []
    for name, section in config.items():
        if name not in classes:
            found.append(name)
            continue
        found += [f"{name}.{trait}" for trait in section if trait not in classes[name].class_trait_names(config=True)]
    return found


def hub_classes():
    """Return the classes of JupyterHub that our files set, by name."""
    from jupyterhub.app import JupyterHub
    from jupyterhub.auth import Authenticator
    from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
    from jupyterhub.proxy import ConfigurableHTTPProxy
    from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner

    classes = JupyterHub, Authenticator, SharedPasswordAuthenticator, ConfigurableHTTPProxy, SimpleLocalProcessSpawner
    return {one.__name__: one for one in (*classes, Spawner)}


@pytest.mark.parametrize("file", ["jupyterhub_config.py", "tljh/jupyterhub_config.py"])
def test_settings_of_the_hub_exist(file, tmp_path, monkeypatch):
    classes = hub_classes()
    monkeypatch.setenv("RNNLAB_CLASSROOM", str(tmp_path))
    monkeypatch.setenv("RNNLAB_HUB_TOKEN", "x" * 32)
    app = classes["JupyterHub"]()
    app.load_config_file(CLASSROOM / file)
    assert app.config and faults(app.config, classes) == []
    app.config.Spawner.tyop = 1
    assert faults(app.config, classes) == ["Spawner.tyop"]
    environment = app.config.Spawner.environment
    instructor, student = (SimpleNamespace(user=SimpleNamespace(name=name)) for name in ("instructor", "ada"))
    assert environment["RNNLAB_COURSE"](instructor) and not environment["RNNLAB_COURSE"](student)


def test_settings_of_nbgrader_exist(tmp_path, monkeypatch):
    from nbgrader.apps import NbGraderApp
    from nbgrader.converters import GenerateFeedback
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange.default import Exchange, ExchangeCollect

    monkeypatch.setenv("RNNLAB_COURSE", "course")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(CLASSROOM))
    monkeypatch.chdir(tmp_path)
    app = NbGraderApp()
    app.load_config_file()
    classes = {one.__name__: one for one in (GenerateFeedback, CourseDirectory, Exchange, ExchangeCollect)}
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    plain = NbGraderApp()
    plain.load_config_file()
    ours = {name: section for name, section in app.config.items() if section != plain.config.get(name)}
    assert set(ours) >= {"CourseDirectory", "Exchange"} and faults(ours, classes) == []
    assert ours["CourseDirectory"].root == "course"
    assert app.config.GenerateFeedback.exporter_class == "grading.exporters.FeedbackExporter"


@pytest.mark.parametrize("file, known", [("tljh/config.yaml", TLJH), ("z2jh/values.yaml", Z2JH)])
def test_settings_of_a_class_are_known_ones(file, known):
    tree = yaml.safe_load((CLASSROOM / file).read_text(encoding="utf-8"))
    assert unknown_keys(tree, known) == []
    assert unknown_keys({**tree, "tyop": {}}, known) == ["tyop"]


def test_python_inside_the_settings_for_kubernetes_is_python():
    values = yaml.safe_load((CLASSROOM / "z2jh/values.yaml").read_text(encoding="utf-8"))
    assert faults(values["hub"]["config"], hub_classes()) == []
    pieces = list(values["hub"]["extraConfig"].values())
    pieces += [file["stringData"] for file in values["singleuser"]["extraFiles"].values()]
    assert len(pieces) == 2
    for piece in pieces:
        compile(piece, "values.yaml", "exec")


def test_the_script_for_one_machine_names_files_that_exist():
    script = (CLASSROOM / "tljh/setup.sh").read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", CLASSROOM / "tljh/setup.sh"]).returncode == 0
    named = set(re.findall(r"(?<![\w/])(?:classroom|notebooks)/[\w./]+\w", script)) | {"constraints.txt"}
    assert len(named) >= 4 and all((ROOT / name).exists() for name in named), named
    assert not re.search(r"install .*0777(?!.*exchange)", script), "only the exchange is open to all"


def test_one_version_of_the_proxy_everywhere():
    files = (".ci/run", "book/classroom.md", "tests/test_classroom.py")
    versions = [set(re.findall(r"configurable-http-proxy@([\d.]+)", (ROOT / name).read_text())) for name in files[:2]]
    versions.append(set(re.findall(r"\{PROXY\}@([\d.]+)", (ROOT / files[2]).read_text())))
    assert len(set().union(*versions)) == 1 and all(versions)
