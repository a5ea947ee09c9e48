"""What people see of a graded submission: the notebook for nbgrader's formgrader, and the feedback page.

Both are safe to open: a student's text cannot become markup, nothing is loaded from the network, and of a test cell
only what students have anyway is shown, with a message when it failed.
"""

import html
import re

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from grading.marks import Report
from grading.notebooks import Submission

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
MAX_PAGE = 3_000_000  # characters of feedback
STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --good: #0072b2; --bad: #b34700; }
@media (prefers-color-scheme: dark) { :root { --good: #56b4e9; --bad: #ff9d4d; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .7rem; border-radius: .3rem; }
pre.message { border-left: .25rem solid var(--bad); border-radius: 0; background: none; margin: .4rem 0; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .5rem; }
tr { border-bottom: 1px solid var(--line); } a { color: inherit; } .points { text-align: right; white-space: nowrap; }
.full { color: var(--good); } .lost { color: var(--bad); } img { max-width: 100%; }
"""


def tame(markdown: str) -> str:
    """Return Markdown without HTML, without links and pictures from elsewhere, and without such in a formula."""
    markdown = re.sub(r"<(?=[A-Za-z/!?])", "< ", markdown)  # "< b" is text, to a browser and in a formula
    markdown = re.sub(r"&(?=#?\w+;)", "& ", markdown)  # no letter of an address in disguise
    markdown = re.sub(r"\](?=\((?!attachment:)|:)", "] ", markdown)
    markdown = re.sub(r"!\[(?![^\]]*\]\(attachment:)", "! [", markdown)
    markdown = re.sub(r"\\(?=(?:href|style|class|cssId|require|unicode|html\w*)\b)", "", markdown)
    return re.sub(r"(?i)(javascript|vbscript|data)\s*:", r"\1 :", markdown)


def graded_notebook(template, report: Report, submission: Submission):
    """Return the notebook that formgrader shows: the release, the answers, the student's own cells, and what came out.

    Whatever else the submission held is not in it: no metadata, no test cell of the student's.
    """
    cells = [note_cell(report.notes)] if report.notes else []
    cells += [own_cell(cell) for cell in submission.others.get("", [])]
    for cell in template.cells:
        mark = cell.metadata.get("nbgrader")
        if mark:
            cells.append(graded_cell(cell, mark, report, submission))
            cells += [own_cell(other) for other in submission.others.get(mark.grade_id, [])]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
    nbformat.validate(notebook)
    return notebook


def graded_cell(cell, mark, report, submission):
    """Return one cell of the release as it was answered and graded."""
    name, source = mark.grade_id, cell.source
    if mark.get("solution"):
        source = submission.answers.get(name, "")
        source = tame(source) if cell.cell_type == "markdown" else source
    make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
    made = make(source, metadata={"nbgrader": dict(mark)})
    if cell.cell_type == "markdown" and (found := submission.pictures.get(name)):
        made.attachments = found
    graded = report.marks.get(name)
    if cell.cell_type == "code" and graded and graded.message:
        made.outputs = [new_output("error", ename="Lost", evalue=graded.message, traceback=[graded.message])]
    return made


def own_cell(cell: dict):
    """Return a cell that the student added."""
    if cell["type"] == "markdown":
        made = new_markdown_cell(tame(cell["source"]))
        if cell["pictures"]:
            made.attachments = cell["pictures"]
        return made
    return new_code_cell(cell["source"], outputs=[new_output("display_data", data=data) for data in cell["outputs"]])


def note_cell(notes):
    """Return what the grader has to say on the whole submission."""
    return new_markdown_cell("**From the grader**\n\n" + "\n".join(f"- {tame(note)}" for note in notes))


# ---------------------------------------------------------------- the feedback page


def feedback(notebook, title: str, result: dict) -> str:
    """Return a page, complete in itself, with the points of each part and what was missed, from a graded notebook.

    `result` has "score", "max_score", "late_penalty", "waiting" (names of cells), "cells" {name: (points, most)} and
    "comments" {name: text}.
    """
    parts = []
    for cell in notebook.cells:
        parts += part(cell, result)
        if sum(map(len, parts)) > MAX_PAGE:
            parts.append("<p>The rest is left out: the submission is too large for this page.</p>")
            break
    rows = [row(name, *points, name in result["waiting"]) for name, points in in_order(notebook, result["cells"])]
    head = f"{html.escape(title)}: {result['score']:g} of {result['max_score']:g} points"
    waiting = (
        "<p>Some answers wait to be marked by a person; until then they count as 0.</p>" if result["waiting"] else ""
    )
    late = f"<p>Late: {result['late_penalty']:g} points were taken off.</p>" if result["late_penalty"] else ""
    return "\n".join(
        [
            "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
            "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; "
            "style-src 'unsafe-inline'\">",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{head}</h1>{late}{waiting}<table><tr><th>part</th><th class='points'>points</th></tr>",
            *rows,
            "</table>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def in_order(notebook, cells: dict) -> list:
    """Return the graded cells in the order of the notebook."""
    names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    return [(name, cells[name]) for name in names if name in cells]


def row(name, points, most, waits) -> str:
    """Return the table's row for one graded cell; what was lost has a message further down."""
    if not most:
        return ""
    kind, name = "full" if points >= most else "lost", html.escape(name)
    label = name if points >= most else f"<a href='#{name}'>{name}</a>"
    shown = f"waits, of {most:g}" if waits else f"{points:g} of {most:g}"
    return f"<tr><td>{label}</td><td class='points {'' if waits else kind}'>{shown}</td></tr>"


def part(cell, result) -> list[str]:
    """Return the part of the page for one cell: answers in full, tests by their message, the rest not at all."""
    mark, text = cell.metadata.get("nbgrader", {}), cell.source
    name = mark.get("grade_id", "")
    if text.startswith("**From the grader**"):
        return ["<h2>From the grader</h2>", f"<pre>{html.escape(text.partition(chr(10))[2].strip())}</pre>"]
    comment = result["comments"].get(name)
    said = [f"<p>Comment:</p><pre class='message'>{html.escape(comment)}</pre>"] if comment else []
    anchor = html.escape(name)
    if mark.get("solution"):
        points, most = result["cells"].get(name, (0, 0))
        given = f" ({points:g} of {most:g})" if most else ""
        return [f"<h2 id='{anchor}'>{anchor}{given}</h2>", f"<pre>{html.escape(text)}</pre>", *pictures_of(cell), *said]
    messages = [o.evalue for o in cell.get("outputs", []) if o.output_type == "error"] if mark.get("grade") else []
    shown = [f"<p id='{anchor}'>{anchor}:</p><pre class='message'>{html.escape(m)}</pre>" for m in messages]
    return shown + said


def pictures_of(cell) -> list[str]:
    """Return the pictures that were pasted into an answer."""
    found = [(kind, data) for versions in cell.get("attachments", {}).values() for kind, data in versions.items()]
    return [
        f"<img alt='picture in the answer' src='data:{kind};base64,{''.join(data.split())}'>" for kind, data in found
    ]
