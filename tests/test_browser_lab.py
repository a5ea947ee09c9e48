"""A lesson in a real JupyterLab: it runs from top to bottom, and a slider moved by keyboard changes its figure."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no browser: Playwright is not installed")

from tiers import every  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
# One that needs NumPy alone, one that trains with torch, one that reads the records of all others.
SHOWN = [ROOT / "notebooks" / f"{name}.ipynb" for name in ("08_after_adam", "11_gru", "21_applications")]
# What a busy machine may need. Each wait ends as soon as its condition holds.
START_S, RUN_S, MOVE_S = 120, 300, 60


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_server(address: str, process: subprocess.Popen, log: Path):
    """Return when the server answers; fail with its log when it ends or stays silent."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address, timeout=5):
            return
        if process.poll() is not None:
            break
        time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start at {address}:\n{log.read_text(errors='replace')[-4000:]}", pytrace=False)


def empty_copy(lesson: Path, folder: Path):
    """Copy a lesson without its stored outputs, so that what is seen was run here."""
    notebook = json.loads(lesson.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    (folder / lesson.name).write_text(json.dumps(notebook), encoding="utf-8")


def lab_command(port: int, token: str, folder: Path) -> list:
    """Return the command of a JupyterLab that asks no other host and opens no browser."""
    server = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", "--allow-root"]
    offline = ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    place = [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}", "--no-browser"]
    driven = ["--LabApp.expose_app_in_browser=True"]  # as `jupyterapp`, so that the test can wait for a run to end
    return [sys.executable, "-m", "jupyterlab", *server, *offline, *place, *driven]


def lab_environment(home: Path) -> dict:
    """Return an environment in which JupyterLab neither sees nor changes the settings of whoever runs the tests."""
    settings = {
        "notebook-extension/tracker": '{"windowingMode": "none"}',  # every cell is in the page, also those out of sight
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    }
    for name, text in settings.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    folders |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places = {name: str(home / folder) for name, folder in folders.items()}
    return os.environ | places | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """The address of a lesson in a JupyterLab on empty copies of the lessons (no browser: no server)."""
    home = tmp_path_factory.mktemp("lab")
    folder, log = home / "notebooks", home / "lab.log"
    folder.mkdir()
    for lesson in LESSONS:
        empty_copy(lesson, folder)
    for script in (ROOT / "notebooks").glob("*.py"):  # what lessons import, and the records that they read
        shutil.copy(script, folder)
    for data in ("notebooks/evidence", "benchmarks/results"):
        shutil.copytree(ROOT / data, home / data)
    cell = {
        "cell_type": "code",
        "id": "fails",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": "1 / 0",
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    failing = {"cells": [cell | {"source": "1 / 0"}], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "fails.ipynb").write_text(json.dumps(failing), encoding="utf-8")
    port, token = free_port(), secrets.token_hex(16)
    with log.open("wb") as output:
        command = lab_command(port, token, folder)
        process = subprocess.Popen(command, env=lab_environment(home), stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for_server(f"http://127.0.0.1:{port}/api?token={token}", process, log)
            yield f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}"
        finally:
            stop(process)


def stop(process: subprocess.Popen):
    """End this one server; it ends its kernels."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def open_lesson(page, address: str):
    """Open a notebook and wait until its cells are there."""
    page.goto(address)
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for(timeout=START_S * 1000)


def run_all_cells(page):
    """Run every cell as the menu entry does, and return when the last has run or one has failed."""
    ended = page.evaluate(
        """async (seconds) => {
            const run = async () => {
                await jupyterapp.shell.currentWidget.sessionContext.ready;
                await jupyterapp.commands.execute("notebook:run-all-cells");
                return "all";
            };
            return Promise.race([run(), new Promise(end => setTimeout(() => end("time"), 1000 * seconds))]);
        }""",
        RUN_S,
    )
    if ended != "all":
        prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt").all_inner_texts()
        dialogs = page.locator(".jp-Dialog").all_inner_texts()
        pytest.fail(f"after {RUN_S} s the cells have run as far as {prompts}; dialogs: {dialogs}", pytrace=False)


def errors(page) -> list:
    """Return the name and message of each error among the outputs."""
    cells = page.evaluate("jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells")
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]


def test_a_cell_that_fails_is_seen(watch, lab):
    page = watch(width=1400, height=1000).page
    open_lesson(page, lab.format("fails.ipynb"))
    run_all_cells(page)
    assert errors(page) == ["ZeroDivisionError: division by zero"]


@pytest.mark.parametrize("lesson", every(LESSONS, SHOWN, "JupyterLab drives three lessons"), ids=lambda path: path.stem)
def test_a_lesson_runs_and_its_slider_moves_the_figure(watch, lab, lesson):
    page = watch(width=1400, height=1000).page
    open_lesson(page, lab.format(lesson.name))
    run_all_cells(page)
    assert errors(page) == []

    output = page.locator(".jp-OutputArea-output", has=page.locator(".noUi-handle")).first
    output.locator(".rl-panels svg").first.wait_for(timeout=MOVE_S * 1000)
    handle = output.locator(".noUi-handle").first
    before, value = output.locator(".rl-panels").inner_html(), float(handle.get_attribute("aria-valuenow"))
    handle.focus()
    page.keyboard.press("ArrowLeft" if value == float(handle.get_attribute("aria-valuemax")) else "ArrowRight")
    page.wait_for_function(
        "([output, before]) => (output.querySelector('.rl-panels')?.innerHTML ?? before) !== before",
        arg=[output.element_handle(), before],
        timeout=MOVE_S * 1000,
    )
    assert float(handle.get_attribute("aria-valuenow")) != value
