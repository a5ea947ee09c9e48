"""Time from a slider's move to the painted figure, in a published page and in a real JupyterLab.

    python benchmarks/sliders.py

The same explorable in both: two panels, 504 states; and, where the book has been built, the pages of its lessons. In
the page a move is an `input` event; in JupyterLab it is a key press on the slider, and the clock runs until the
kernel's picture is in the page. Both end when the first animation frame after the change has been painted: at a message
that its callback posted. Stores benchmarks/results/sliders.json.

Goals: in the page 33 ms at the 95th percentile of 100 moves; in JupyterLab 80 ms in the median.
"""

import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sliders.json"
MOVES, ROW = 100, 10  # in JupyterLab the radius goes forth over a row of states, then back over the next row
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

EXPLORABLE = """
import numpy as np
from rnnlab.widgets import explore, slider

@explore(radius=slider(np.linspace(0.5, 1.5, 21).round(2), at=0.9), lengths=slider(range(10, 130, 10)),
         kind=slider(["plain", "dashed"]), panels=2, alt=["Powers of the radius", "How they are distributed"])
def powers(axes, radius, lengths, kind):
    norms = radius ** np.arange(lengths)
    axes[0].semilogy(norms, "--" if kind == "dashed" else "-")
    axes[0].set(xlim=(0, 120), ylim=(1e-40, 1e25), xlabel="steps back", ylabel="gradient norm")
    axes[1].bar(*np.unique(np.log10(norms).round(), return_counts=True))
    axes[1].set(xlim=(-40, 25), ylim=(0, 120), xlabel="power of ten", ylabel="steps")
    return f"After {lengths} steps {norms[-1]:.1e} is left."
"""

# Moves every slider in turn, each time to another value, and waits for the frame in which the change is seen.
IN_THE_PAGE = """async (moves) => {
  const inputs = [...document.querySelectorAll(".rl-explore input[type=range]")];
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const after = new MessageChannel(); // its message comes after the frame's own work: style, layout, paint
    after.port1.onmessage = done;
    after.port2.postMessage(0);
  }));
  const times = [];
  for (let i = 0; i < moves; i++) {
    const input = inputs[i % inputs.length];
    input.value = (+input.value + 1) % (+input.max + 1);
    const start = performance.now();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
    times.push(performance.now() - start);
    await new Promise((done) => setTimeout(done, 30));
  }
  return times;
}"""

# Runs inside JupyterLab: the clock starts at the key press (in the capture phase) and stops after the figure changed.
IN_THE_LAB = """() => {
  window.rlTimes = [];
  let start;
  document.addEventListener("keydown", () => (start = performance.now()), true);
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const after = new MessageChannel(); // its message comes after the frame's own work: style, layout, paint
    after.port1.onmessage = done;
    after.port2.postMessage(0);
  }));
  new MutationObserver(async (changes) => {
    const holds = (node) => node.matches?.(".rl-explore") || node.querySelector?.(".rl-explore");
    const seen = changes.some((change) => [...change.addedNodes].some(holds));
    if (start === undefined || !seen) return;
    const begun = start;
    start = undefined;
    await frame();
    window.rlTimes.push(performance.now() - begun);
  }).observe(document.body, { childList: true, subtree: true });
}"""


def summary(times):
    """Return median and 95th percentile in milliseconds."""
    return {"moves": len(times), "median_ms": round(median(times), 1), "p95_ms": round(quantiles(times, n=20)[-1], 1)}


def lessons(browser):
    """Measure in the lesson pages of the book, where it has been built: each slider of the page in turn."""
    found = {}
    for path in sorted((ROOT / "book" / "_build" / "html" / "notebooks").glob("[0-9][0-9]_*.html")):
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelectorAll('.rl-reset').length > 2")
        found[path.stem] = summary(page.evaluate(IN_THE_PAGE, MOVES))
        page.close()
    return found


def published(browser, folder):
    """Measure in a page that holds the flipbook."""
    code = EXPLORABLE + "\nprint(powers.html())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    (folder / "page.html").write_text(f"<!doctype html><meta charset=utf-8><title>t</title>{made.stdout}", "utf-8")
    page = browser.new_page()
    page.goto((folder / "page.html").as_uri())
    page.wait_for_selector(".rl-reset")
    return summary(page.evaluate(IN_THE_PAGE, MOVES)) | {"fragment_kB": round(len(made.stdout) / 1000)}


@contextmanager
def jupyterlab(folder):
    """Run a JupyterLab on a notebook with the explorable, and yield the notebook's address."""
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "execution_count": None,
            "source": EXPLORABLE + "\npowers"}  # fmt: skip
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "sliders.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token, address = secrets.token_hex(8), f"http://127.0.0.1:{port}"
    options = [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--allow-root", "--no-browser",
               f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}", "--LabApp.news_url=",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    places = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    environment = os.environ | places | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "lab.log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(240):
            with suppress(OSError), urllib.request.urlopen(f"{address}/api?token={token}", timeout=5):
                break
            time.sleep(0.5)
        yield f"{address}/lab/tree/sliders.ipynb?reset&token={token}"
    finally:
        server.terminate()
        server.wait()


def press(page, handle, key):
    """Move the keyboard to a slider and, with a key, the slider itself; wait until its picture has come."""
    handle.focus()
    if key:
        page.keyboard.press(key)
        page.wait_for_timeout(500)


def live(browser, folder):
    """Measure in JupyterLab, over states that are seen for the first time: the kernel remembers what it has drawn."""
    with jupyterlab(folder) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        page.click(".jp-Notebook .jp-Cell .jp-InputArea-editor")
        page.wait_for_timeout(3000)  # the kernel starts
        page.keyboard.press("Shift+Enter")
        page.wait_for_selector(".rl-explore svg", timeout=120_000)
        page.evaluate(IN_THE_LAB)
        radius, lengths = (page.locator(".noUi-handle").nth(n) for n in range(2))
        for move in range(MOVES):
            row, column = divmod(move, ROW)
            if column == 0:  # the same radii at another length are states that the kernel has not drawn yet
                press(page, lengths, "ArrowRight" if row else "Home")
                press(page, radius, "Home" if row == 0 else None)
                page.evaluate(f"window.rlTimes.length = {move}")  # only the moves below are counted
            page.keyboard.press("ArrowLeft" if row % 2 else "ArrowRight")
            page.wait_for_function(f"window.rlTimes.length > {move}", timeout=10_000)
            page.wait_for_timeout(30)
        return summary(page.evaluate("window.rlTimes"))


def main():
    chromium = os.environ.get("RNNLAB_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("no browser: install chromium, or name one in RNNLAB_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        record = {"command": "python benchmarks/sliders.py"}
        for name, measure, goal in (("page", published, "p95 33 ms"), ("jupyterlab", live, "median 80 ms")):
            record[name] = measure(browser, Path(folder)) | {"goal": goal}
            print(f"{name}: {record[name]}", flush=True)
        record["page"]["lessons"] = lessons(browser)
        print(f"lessons: {record['page']['lessons']}", flush=True)
        versions = {name: version(name) for name in ("matplotlib", "ipywidgets", "jupyterlab")}
        record["versions"] = versions | {"python": platform.python_version(), "chromium": browser.version}
        record |= {"machine": platform.machine(), "cores": os.cpu_count()}
        browser.close()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
