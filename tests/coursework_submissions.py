"""Submissions of problem set 1 for the tests: right ones, and wrong ones made by planting faults a student would make.

A fault replaces a piece of the official solution of ONE cell and names the test cells that must then be lost. Faults in
different cells share a submission, since every function stands alone; so few submissions carry many faults.
"""

from copy import deepcopy

import coursework
from coursework import faults_of

MANUAL = "derivation-answer"


ALL_GRADIENTS = "total inputs weights"
CLIP = """norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    scale = max_norm / norm if norm > max_norm else 1.0
    return {name: g * scale for name, g in grads.items()}, norm"""
GENERATOR = """clipped = {name: g.copy() for name, g in grads.items()}
    arrays = (g for g in clipped.values())
    norm = np.sqrt(sum(np.sum(g**2) for g in arrays))
    for g in arrays:  # the sum has used it up
        g *= min(1, max_norm / max(norm, 1e-300))
    return clipped, norm"""
SCALE_IN_PLACE = "for g in grads.values():\n        g *= scale\n    "
BORDER = "t > 0 and t % k == 0"
LATER = f"np.zeros_like(h0) if {BORDER} else d_a @ W_hh"
FAULTS = [
    *faults_of(
        "step",
        ("transposed W_hh in the forward step", "h @ W_hh.T", "h @ W_hh", "hidden"),
        ("bias forgotten", " + b_hh", "", "visible hidden"),
    ),
    *faults_of(
        "step-back",
        ("missing tanh derivative", "d_h * (1 - h_new**2)", "d_h", "visible inputs weights"),
        ("transposed W_hh", "d_a @ W_hh", "d_a @ W_hh.T", "inputs"),
        ("mean over the batch", "d_a.sum(axis=0)", "d_a.mean(axis=0)", "weights"),
        ("new state in place of the old", "d_a.T @ h", "d_a.T @ h_new", "visible weights"),
    ),
    *faults_of(
        "bptt",
        ("d_W_hh overwritten in time", "d_W_hh += ", "d_W_hh = ", "weights"),
        ("d_b overwritten in time", "d_b += ", "d_b = ", "visible weights"),
        ("off by one in time", "d_a.T @ states[t]", "d_a.T @ states[t + 1]", "weights"),
        ("tanh derivative one step off", "states[t + 1] ** 2", "states[t] ** 2", ALL_GRADIENTS),
        ("missing tanh derivative in time", " * (1 - states[t + 1] ** 2)", "", ALL_GRADIENTS),
        ("immediate in place of total", "d_b, d_h_total", "d_b, d_h", "visible total"),
        ("d_h0 one step short", "return d_x, from_later", "return d_x, d_h_total[0]", "visible inputs"),
    ),
    *faults_of(
        "truncated",
        ("cut one step early", BORDER, "(t - 1) % k == 0", "visible hidden"),
        ("windows counted from the end", BORDER, "t > 0 and (len(x) - t) % k == 0", "hidden"),
        ("not truncated", LATER, "d_a @ W_hh", "visible hidden"),
        ("state reset in the forward pass", "states[-1] @", "((len(states) - 1) % k > 0) * states[-1] @", "hidden"),
    ),
    *faults_of(
        "clip-norm",
        ("by value in place of norm", "g * scale", "np.clip(g, -max_norm, max_norm)", "visible above"),
        ("generator used up by the norm", CLIP, GENERATOR, "visible above"),
        ("each array alone", "g * scale", "g * min(1, max_norm / max(np.linalg.norm(g), 1e-300))", "visible above"),
        ("input changed", "return {name: g * scale", f"{SCALE_IN_PLACE}return {{name: g.copy()", "copies"),
        ("input returned below the threshold", "g * scale", "g * scale if norm > max_norm else g", "copies"),
        ("always rescaled", " if norm > max_norm else 1.0", "", "below"),
        ("norm after clipping", "}, norm", "}, norm * scale", "visible above"),
        ("square root forgotten", "np.sqrt(sum(np.sum(g**2) for", "(sum(np.sum(g**2) for", "visible above below"),
        ("sum of norms", "np.sqrt(sum(np.sum(g**2) for", "(sum(np.linalg.norm(g) for", "visible above below"),
    ),
    *faults_of(
        "clip-value",
        ("clipped from above only", "np.clip(g, -max_value, max_value)", "np.minimum(g, max_value)", "visible hidden"),
        ("input clipped in place", "-max_value, max_value", "-max_value, max_value, out=g", "hidden"),
    ),
    *faults_of(
        "statements",
        ("clip by value believed to keep the direction", "[True, False", "[True, True", "direction"),
        ("clip believed to lengthen", "False, True]", "True, True]", "effect"),
    ),
]

# What many students will do: build later functions on their earlier ones. Allowed, and worth full marks when right.
COMPOSED = {
    "bptt-solution": """
def bptt(x, h0, W_ih, W_hh, b_ih, b_hh, d_h):
    return walk_back(x, h0, W_ih, W_hh, b_ih, b_hh, d_h)


def walk_back(x, h0, W_ih, W_hh, b_ih, b_hh, d_h, k=None):
    h = [h0]
    for x_t in x:
        h.append(rnn_step(x_t, h[-1], W_ih, W_hh, b_ih, b_hh))
    sums, d_x, total, carried = [0, 0, 0], [], [], 0
    for t in range(len(x) - 1, -1, -1):
        total.insert(0, d_h[t] + carried)
        d_x_t, carried, *parts = rnn_step_back(total[0], h[t + 1], x[t], h[t], W_ih, W_hh)
        d_x.insert(0, d_x_t)
        sums = [s + part for s, part in zip(sums, parts)]
        if k and t > 0 and t % k == 0:
            carried = 0 * carried
    return (np.array(d_x), carried, *sums, np.array(total))
""",
    "truncated-solution": """
def bptt_truncated(x, h0, W_ih, W_hh, b_ih, b_hh, d_h, k):
    return walk_back(x, h0, W_ih, W_hh, b_ih, b_hh, d_h, k)
""",
}


def grading(cell):
    """Return a cell's nbgrader metadata, an empty dict if it has none."""
    return cell.metadata.get("nbgrader", {})


def solutions(source):
    """Return {grade_id: official solution} of the source notebook's code cells, without the markers."""
    cells = [cell for cell in source.cells if cell.cell_type == "code" and grading(cell).get("solution")]
    return {grading(cell)["grade_id"]: without_markers(cell.source) for cell in cells}


def without_markers(code):
    """Return the code without the lines that mark a solution."""
    return "\n".join(line for line in code.splitlines() if " SOLUTION" not in line)


def filled_in(release, answers):
    """Return a copy of the released notebook in which the student wrote these answers, {grade_id: text}."""
    notebook = deepcopy(release)
    for cell in notebook.cells:
        cell.source = answers.get(grading(cell).get("grade_id"), cell.source)
    return notebook


def tampered(notebook, deleted, emptied):
    """Return a copy in which one test cell is deleted and another has lost its content."""
    notebook = deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if grading(cell).get("grade_id") != deleted]
    for cell in notebook.cells:
        if grading(cell).get("grade_id") == emptied:
            cell.source = "pass"
    return notebook


def packed():
    """Spread the faults over as few students as possible, at most one fault per solution cell: {student: faults}."""
    return coursework.packed(FAULTS)


def submissions(source, release):
    """Return {student: (notebook, set of test cells that must be lost)}; most answer the manual question too."""
    right = solutions(source) | {MANUAL: "The immediate derivative holds the later states fixed. $g_{t-1} = ...$"}
    tests = {grading(c)["grade_id"] for c in source.cells if grading(c).get("grade") and c.cell_type == "code"}
    students = {
        "perfect": (filled_in(release, right), set()),
        "untouched": (release, tests),
        "composed": (filled_in(release, right | COMPOSED), set()),
    }
    for student, faults in packed().items():
        answers = right | {fault.cell: fault.plant(right[fault.cell]) for fault in faults}
        students[student] = filled_in(release, answers), {test for fault in faults for test in fault.loses}
    notebook, lost = students["wrong1"]
    students["tampered"] = tampered(notebook, "bptt-weights-test", "clip-norm-visible-test"), lost
    return students
