"""Problem set 2: its test cells and their points, and mistakes a student would make (see `coursework`)."""

from coursework import faults_of

MANUAL = "bounds-answer"
POINTS = {
    "hidden-references": 0,
    "hidden-matrices": 0,
    "step-jacobian-visible-test": 1,
    "step-jacobian-hidden-test": 2,
    "product-visible-test": 1,
    "product-hidden-test": 2,
    "norms-visible-test": 1,
    "norms-last-test": 2,
    "norms-every-test": 2,
    MANUAL: 5,
    "radius-visible-test": 1,
    "radius-hidden-test": 1,
    "stretch-visible-test": 1,
    "stretch-hidden-test": 1,
    "growth-visible-test": 1,
    "growth-hidden-test": 2,
    "memory-visible-test": 1,
    "memory-hidden-test": 1,
    "memory-never-test": 1,
    "mean-growth-visible-test": 1,
    "mean-growth-hidden-test": 2,
    "mean-growth-long-test": 1,
    "orthogonal-visible-test": 1,
    "orthogonal-hidden-test": 1,
    "glorot-visible-test": 1,
    "glorot-hidden-test": 1,
    "scaled-visible-test": 1,
    "scaled-hidden-test": 1,
    "own-scale-test": 1,
    "own-steps-test": 1,
    "statements-bounds-test": 1,
    "statements-slopes-test": 1,
}

ABSOLUTE = "np.abs(np.linalg.eigvals(W)).max()"
UNROLLED = """length = np.linalg.norm(v)
        logs.append(np.log(length))
        v = v / length
    return np.mean(logs)"""
FAULTS = [
    *faults_of(
        "step-jacobian",
        ("missing tanh derivative", "(1 - h_new**2)[:, None] * W_hh", "W_hh", "visible hidden"),
        ("slopes at the columns", "[:, None]", "", "hidden"),
        ("transposed", "* W_hh", "* W_hh.T", "visible hidden"),
        ("slope at the square root", "h_new**2", "h_new", "visible hidden"),
    ),
    *faults_of(
        "product",
        (
            "wrong order",
            "(1 - h_new**2)[:, None] * W_hh @ product",
            "product @ ((1 - h_new**2)[:, None] * W_hh)",
            "hidden",
        ),
        ("off by one in time", "states[1:]", "states[:-1]", "visible hidden"),
        ("overwritten in time", " @ product", "", "visible hidden"),
        ("elementwise product", "W_hh @ product", "W_hh * product", "hidden"),
        ("one step too many", "states[1:]", "states", "visible hidden"),
    ),
    *faults_of(
        "norms",
        ("missing tanh derivative", "(1 - states[t + 1] ** 2) * total", "total", "last"),
        ("tanh derivative one step off", "states[t + 1]", "states[t]", "last"),
        ("W_hh not transposed", "W_hh.T", "W_hh", "last"),
        ("immediate derivative forgotten", "d_h[t] + W_hh", "W_hh", "every"),
        ("immediate in place of total", "norm(total))\n    return", "norm(d_h[t]))\n    return", "visible last every"),
        ("last step first", "norms[::-1]", "norms", "visible last every"),
        ("mean square in place of the norm", "norms[::-1])", "norms[::-1]) ** 2 / len(W_hh)", "visible last every"),
    ),
    *faults_of(
        "radius",
        ("sign kept", ABSOLUTE, "np.linalg.eigvals(W).max()", "visible hidden"),
        ("real part only", "np.linalg.eigvals(W)", "np.linalg.eigvals(W).real", "hidden"),
        ("singular value in place of radius", ABSOLUTE, "np.linalg.norm(W, 2)", "hidden"),
        ("symmetry assumed", "eigvals", "eigvalsh", "hidden"),
    ),
    *faults_of(
        "stretch",
        ("radius in place of singular value", "np.linalg.norm(W, 2)", ABSOLUTE, "visible hidden"),
        ("root of all squares", "norm(W, 2)", "norm(W)", "hidden"),
        ("largest column sum", "norm(W, 2)", "norm(W, 1)", "hidden"),
    ),
    *faults_of(
        "growth",
        ("power of the singular value", "np.linalg.matrix_power(W, k), 2)", "W, 2) ** k", "visible hidden"),
        ("power of each entry", "np.linalg.matrix_power(W, k)", "W**k", "visible hidden"),
        ("root of all squares", ", 2)", ")", "hidden"),
        ("one step too many", "(W, k),", "(W, k + 1),", "visible hidden"),
    ),
    *faults_of(
        "memory",
        ("rounded down", "np.ceil", "np.floor", "visible hidden"),
        ("rounded to the nearest", "np.ceil", "np.round", "hidden"),
        (
            "strictly less",
            "np.ceil(np.log(left) / np.log(radius))",
            "1 + int(np.log(left) / np.log(radius))",
            "visible",
        ),
        ("never forgotten", "if radius >= 1", "if radius < 0", "never"),
    ),
    *faults_of(
        "mean-growth",
        ("not made a unit vector", UNROLLED, "pass\n    return np.log(np.linalg.norm(v)) / len(states[1:])", "long"),
        ("length of v counted", "v, logs = v / np.linalg.norm(v), []", "logs = []", "visible hidden"),
        ("sum in place of mean", "np.mean", "np.sum", "visible hidden long"),
        ("log of the mean", "return np.mean(logs)", "return np.log(np.mean(np.exp(logs)))", "hidden"),
        ("binary logarithm", "np.log(length)", "np.log2(length)", "visible hidden long"),
        ("off by one in time", "states[1:]", "states[:-1]", "hidden"),
    ),
    *faults_of(
        "orthogonal",
        ("the triangular factor", "np.linalg.qr(A)[0]", "np.linalg.qr(A)[1]", "visible hidden"),
        ("columns only scaled", "np.linalg.qr(A)[0]", "A / np.linalg.norm(A, axis=0)", "visible hidden"),
        ("the identity", "np.linalg.qr(A)[0]", "np.eye(len(A))", "hidden"),
    ),
    *faults_of(
        "glorot",
        ("missing sign", "(2 * u - 1)", "u", "visible hidden"),
        ("square root forgotten", "np.sqrt(6 / sum(u.shape))", "6 / sum(u.shape)", "hidden"),
        ("columns only", "sum(u.shape)", "u.shape[1]", "visible hidden"),
    ),
    *faults_of(
        "scaled",
        ("singular value in place of radius", ABSOLUTE, "np.linalg.norm(W, 2)", "hidden"),
        ("sign kept", ABSOLUTE, "np.linalg.eigvals(W).real.max()", "visible hidden"),
        ("not divided", f"radius / {ABSOLUTE}", "radius", "visible hidden"),
    ),
    *faults_of(
        "own",
        ("slope forgotten in the scale", ' / mine["slope"]\n', "\n", "scale"),
        ("one step short", '(1 / mine["T"])', '(1 / (mine["T"] - 1))', "scale"),
        ("rounded down", "np.ceil", "np.floor", "steps"),
        (
            "another student's numbers",
            "personal_numbers(STUDENT_ID)",
            "dict(T=12, left=0.03, slope=0.99)",
            "scale steps",
        ),
    ),
    *faults_of(
        "statements",
        ("radius believed to bound every step", "[True, False, ", "[True, True, ", "bounds"),
        ("saturation forgotten", "False, True]", "True, True]", "slopes"),
        ("orthogonal believed to grow", "False, True]", "False, False]", "slopes"),
    ),
]

# Other right ways, some built on earlier tasks: worth full marks.
ALTERNATIVES = {
    "step-jacobian-solution": """
def step_jacobian(h_new, W_hh):
    return np.diag(1 - h_new**2) @ W_hh
""",
    "product-solution": """
def jacobian_product(states, W_hh):
    factors = [step_jacobian(h, W_hh) for h in states[:0:-1]]
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors)
""",
    "norms-solution": """
def gradient_norms(states, W_hh, d_h):
    totals = [d_h[-1]]
    for h_new, immediate in zip(states[:0:-1], d_h[-2::-1]):
        totals.insert(0, immediate + totals[0] @ step_jacobian(h_new, W_hh))
    return [float(np.sqrt(np.sum(d**2))) for d in totals]
""",
    "radius-solution": """
def spectral_radius(W):
    return max(abs(eigenvalue) for eigenvalue in np.linalg.eig(W)[0])
""",
    "stretch-solution": """
def one_step_growth(W):
    return np.sqrt(np.linalg.eigvalsh(W.T @ W)[-1])
""",
    "growth-solution": """
def growth_after(W, k):
    power = np.eye(len(W))
    for _ in range(k):
        power = W @ power
    return np.linalg.svd(power)[1][0]
""",
    "memory-solution": """
def memory_length(radius, left):
    steps, gradient = 0, 1.0
    while gradient > left and radius < 1:
        steps, gradient = steps + 1, gradient * radius
    return steps if radius < 1 else float("inf")
""",
    "mean-growth-solution": """
def mean_log_growth(states, W_hh, v):
    total, v = 0.0, v / np.sqrt(v @ v)
    for h_new in states[1:]:
        v = step_jacobian(h_new, W_hh) @ v
        total += 0.5 * np.log(v @ v)
        v /= np.sqrt(v @ v)
    return total / (len(states) - 1)
""",
    "orthogonal-solution": """
def orthogonal(A):
    U, _, V = np.linalg.svd(A)
    return U @ V
""",
    "glorot-solution": """
def glorot(u):
    rows, columns = u.shape
    a = np.sqrt(6) / np.sqrt(rows + columns)
    return -a + 2 * a * u
""",
    "own-solution": """
def my_scale_and_steps():
    T, left, slope = personal_numbers(STUDENT_ID).values()
    return [round(float(np.exp(np.log(left) / T) / slope), 4), memory_length(slope, left)]
""",
    "statements-solution": """
def true_statements():
    return np.array([1, 0, 0, 1], dtype=bool)
""",
}
