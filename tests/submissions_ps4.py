"""Problem set 4: its test cells and their points, and mistakes a student would make (see `coursework`)."""

from coursework import faults_of

MANUAL = "paths-answer"
POINTS = {
    "hidden-references": 0,
    "hidden-gradients": 0,
    "hidden-reset": 0,
    "lstm-visible-test": 1,
    "lstm-gates-test": 1,
    "lstm-hidden-test": 2,
    "lstm-back-visible-test": 1,
    "lstm-back-cell-test": 2,
    "lstm-back-inputs-test": 2,
    "lstm-back-weights-test": 1,
    "path-visible-test": 1,
    "path-hidden-test": 1,
    "retention-visible-test": 1,
    "retention-hidden-test": 1,
    "chrono-visible-test": 1,
    "chrono-hidden-test": 1,
    MANUAL: 5,
    "gru-visible-test": 1,
    "gru-hidden-test": 1,
    "cho-visible-test": 1,
    "cho-hidden-test": 1,
    "differ-rules-test": 1,
    "differ-states-test": 1,
    "gru-back-visible-test": 1,
    "gru-back-inputs-test": 2,
    "gru-back-weights-test": 1,
    "gru-back-biases-test": 1,
    "last-visible-test": 1,
    "last-hidden-test": 1,
    "mean-visible-test": 1,
    "mean-hidden-test": 1,
    "own-bias-test": 1,
    "own-steps-test": 1,
    "statements-gru-test": 1,
    "statements-lstm-test": 1,
}

STACKED = "np.split(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh, 4, axis=1)"
INTERLEAVED = "(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh).reshape(len(x), -1, 4).transpose(2, 0, 1)"
RESET_FIRST = "np.tanh(x_n + (r * h) @ W_hh[2 * h.shape[1] :].T + b_hh[2 * h.shape[1] :])"
BEFORE = "(r * h) @ W_hh[2 * H :].T + b_hh[2 * H :]"
AFTER = "r * (h @ W_hh[2 * H :].T + b_hh[2 * H :])"
AFTER_BUT_FOR_THE_BIAS = "r * (h @ W_hh[2 * H :].T) + b_hh[2 * H :]"
SELECTED_MEAN = "np.sum(np.where(real, losses, 0.0)) / np.sum(real)"
MEAN_OF_MEANS = "np.mean(np.sum(np.where(real, losses, 0.0), axis=0) / lengths)"
FAULTS = [
    *faults_of(
        "lstm",
        ("forget and input gate exchanged", "a_i, a_f, a_g, a_o =", "a_f, a_i, a_g, a_o =", "gates hidden"),
        ("order i, f, o, g believed", "a_i, a_f, a_g, a_o =", "a_i, a_f, a_o, a_g =", "gates hidden"),
        ("second bias forgotten", " + b_hh, 4", ", 4", "hidden"),
        ("gates interleaved", STACKED, INTERLEAVED, "hidden"),
        ("tanh of the cell forgotten", "np.tanh(c_new)", "c_new", "visible gates hidden"),
        ("sigmoid for the candidate", "np.tanh(a_g)", "sigmoid(a_g)", "visible gates hidden"),
        ("no forget gate", "sigmoid(a_f) * c", "c", "visible gates hidden"),
        ("outputs exchanged", "return h_new, c_new", "return c_new, h_new", "visible gates hidden"),
    ),
    *faults_of(
        "lstm-back",
        ("gradient of the cell ignored", "d_c + d_h * o", "d_h * o", "visible cell inputs weights"),
        ("path through h_new forgotten", "d_c + d_h * o * (1 - squashed**2)", "d_c", "visible cell inputs weights"),
        ("missing tanh derivative", " * (1 - squashed**2)", "", "cell inputs weights"),
        ("forget gate left out", "d_c_new * f, d_a", "d_c_new, d_a", "visible cell"),
        ("new cell in place of the old", "d_c_new * c * f", "d_c_new * (f * c + i * g) * f", "inputs weights"),
        ("slope of the candidate missing", " * (1 - g**2)", "", "inputs weights"),
        ("slope of tanh for a sigmoid", "squashed * o * (1 - o)", "squashed * (1 - o**2)", "inputs weights"),
        ("gates in another order", "[d_i, d_f, d_g, d_o]", "[d_f, d_i, d_g, d_o]", "inputs weights"),
        ("mean over the batch", "d_a.sum(axis=0)", "d_a.mean(axis=0)", "weights"),
        ("new state in place of the old", "d_a.T @ h,", "d_a.T @ (o * squashed),", "weights"),
    ),
    *faults_of(
        "path",
        ("off by one in time", "np.cumprod(later", "np.cumprod(f", "visible hidden"),
        ("from the first step on", "np.cumprod(later[::-1], axis=0)[::-1]", "np.cumprod(f, axis=0)", "visible hidden"),
        ("sum in place of product", "np.cumprod", "np.cumsum", "visible hidden"),
        (
            "product over the units",
            "return np.cumprod(later[::-1], axis=0)",
            "return np.cumprod(later[::-1].prod(axis=1, keepdims=True) + 0 * f, axis=0)",
            "hidden",
        ),
    ),
    *faults_of(
        "retention",
        ("tanh in place of sigmoid", "sigmoid(bias)", "np.tanh(bias)", "visible hidden"),
        ("power inside", "sigmoid(bias) ** T", "sigmoid(bias * T)", "visible hidden"),
        ("missing sign", "sigmoid(bias)", "sigmoid(-bias)", "hidden"),
        ("one step short", "** T", "** (T - 1)", "visible hidden"),
    ),
    *faults_of(
        "chrono",
        ("input biases not negative", "forget, -forget", "forget, forget", "hidden"),
        ("one step too long", "(T_max - 2)", "(T_max - 1)", "visible hidden"),
        ("decimal logarithm", "np.log(", "np.log10(", "visible hidden"),
    ),
    *faults_of(
        "gru",
        ("z and 1 - z exchanged", "(1 - z) * n + z * h", "z * n + (1 - z) * h", "visible hidden"),
        ("reset before the product", "np.tanh(x_n + r * h_n)", RESET_FIRST, "hidden"),
        (
            "gates in the order z, r, n",
            "r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)",
            "z, r = sigmoid(x_r + h_r), sigmoid(x_z + h_z)",
            "visible hidden",
        ),
        ("reset on the input", "x_n + r * h_n", "r * x_n + h_n", "hidden"),
        ("no reset", "r * h_n", "h_n", "hidden"),
    ),
    *faults_of(
        "cho",
        ("reset after the product", BEFORE, AFTER, "visible hidden"),
        ("reset after the product, but for the bias", BEFORE, AFTER_BUT_FOR_THE_BIAS, "hidden"),
        ("z and 1 - z exchanged", "(1 - z) * n + z * h", "z * n + (1 - z) * h", "hidden"),
        ("bias forgotten", " + b_hh[2 * H :])", ")", "visible hidden"),
    ),
    *faults_of(
        "differ",
        ("one reset for both units", "[[2.0, -2.0], [-2.0, 2.0]]", "[[0.0, 0.0], [0.0, 0.0]]", "states"),
        ("each unit reads itself only", "[[0.0, 2.0], [2.0, 0.0]]", "[[2.0, 0.0], [0.0, 2.0]]", "states"),
        ("entries too large", "np.array([[1.0, -1.0]])", "np.array([[3.0, -3.0]])", "rules"),
    ),
    *faults_of(
        "gru-back",
        ("direct path forgotten", "d_h * z + by_h @ W_hh", "by_h @ W_hh", "visible inputs"),
        ("z and 1 - z exchanged", "d_h * (1 - z) * (1 - n**2)", "d_h * z * (1 - n**2)", "inputs weights biases"),
        ("missing tanh derivative", " * (1 - n**2)", "", "inputs weights biases"),
        ("missing sign", "(h - n)", "(n - h)", "visible inputs weights biases"),
        ("reset before the product", "d_n * h_n * r", "d_n * h * r", "visible inputs weights biases"),
        ("one gradient for both biases", "by_h.sum(axis=0)", "by_x.sum(axis=0)", "visible biases"),
        ("mean over the batch", "by_x.sum(axis=0), by_h.sum(axis=0)", "by_x.mean(axis=0), by_h.mean(axis=0)", "biases"),
        ("reset forgotten in d_W_hh", "by_h.T @ h", "by_x.T @ h", "weights"),
        (
            "path of the update gate forgotten",
            "by_x = np",
            "d_z = 0 * d_z\n    by_x = np",
            "visible inputs weights biases",
        ),
    ),
    *faults_of(
        "last",
        ("off by one in time", "t < lengths", "t <= lengths", "visible hidden"),
        ("lengths ignored", "(t < lengths)", "(t < lengths + len(x))", "visible hidden"),
        ("reset to zero", "W_hh), h)", "W_hh), 0.0)", "visible hidden"),
        (
            "padding only set to zero",
            "np.where(real, plain_step(x[t], h, W_ih, W_hh), h)",
            "plain_step(np.where(real, x[t], 0.0), h, W_ih, W_hh)",
            "visible hidden",
        ),
        ("start forgotten", "h = h0", "h = 0 * h0", "hidden"),
    ),
    *faults_of(
        "mean",
        ("mean over the padding too", SELECTED_MEAN, "np.mean(losses)", "visible hidden"),
        ("divided by all steps", "np.sum(real)", "losses.size", "visible hidden"),
        ("mean of means", SELECTED_MEAN, MEAN_OF_MEANS, "visible hidden"),
        ("padding multiplied by zero", "np.where(real, losses, 0.0)", "losses * real", "hidden"),
        ("off by one in time", "[:, None] < lengths", "[:, None] <= lengths", "visible hidden"),
    ),
    *faults_of(
        "own",
        ("gate in place of bias", "bias = np.log(gate / (1 - gate))", "bias = gate", "bias"),
        ("one step short", '(1 / mine["T"])', '(1 / (mine["T"] - 1))', "bias"),
        ("rounded down", "np.ceil", "np.floor", "steps"),
        ("bias in place of gate", 'np.log(sigmoid(mine["bias"]))', '-np.log(1.01 + mine["bias"])', "steps"),
    ),
    *faults_of(
        "statements",
        ("z believed to renew", "[True, False, ", "[False, False, ", "gru"),
        ("one GRU believed", "[True, False, ", "[True, True, ", "gru"),
        ("LSTM believed safe", ", True, False]", ", True, True]", "lstm"),
        ("forget gate believed to amplify", ", True, False]", ", False, False]", "lstm"),
    ),
]

# Other right ways, some built on earlier tasks: worth full marks.
ALTERNATIVES = {
    "lstm-solution": """
def lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh):
    H = h.shape[1]
    a = np.hstack([x, h]) @ np.hstack([W_ih, W_hh]).T + (b_ih + b_hh)
    s = 1 / (1 + np.exp(-a))
    c = s[:, H : 2 * H] * c + s[:, :H] * np.tanh(a[:, 2 * H : 3 * H])
    return s[:, 3 * H :] * np.tanh(c), c
""",
    "lstm-back-solution": """
def lstm_step_back(d_h, d_c, x, h, c, W_ih, W_hh, b_ih, b_hh):
    a = (x @ W_ih.T + b_ih + h @ W_hh.T + b_hh).reshape(len(x), 4, -1)
    (i, f, o), g = sigmoid(a[:, [0, 1, 3]]).transpose(1, 0, 2), np.tanh(a[:, 2])
    tanh_c = np.tanh(lstm_step(x, h, c, W_ih, W_hh, b_ih, b_hh)[1])
    d = d_c + d_h * o * (1 - tanh_c) * (1 + tanh_c)
    d_a = np.zeros_like(a)
    d_a[:, 0], d_a[:, 1] = d * g * (i - i * i), d * c * (f - f * f)
    d_a[:, 2], d_a[:, 3] = d * i * (1 - g * g), d_h * tanh_c * (o - o * o)
    d_a = d_a.reshape(len(x), -1)
    return [d_a @ W_ih, d_a @ W_hh, f * d, np.einsum("bg,bd->gd", d_a, x), np.einsum("bg,bd->gd", d_a, h), sum(d_a)]
""",
    "path-solution": """
def cell_path(f):
    share = np.ones_like(f)
    for t in range(len(f) - 2, -1, -1):
        share[t] = share[t + 1] * f[t + 1]
    return share
""",
    "retention-solution": """
def retention(bias, T):
    return np.exp(-T * np.log1p(np.exp(-bias)))
""",
    "chrono-solution": """
def chrono_biases(u, T_max):
    uniform = 1 + u * (T_max - 2)
    return [np.log(uniform), np.log(1 / uniform)]
""",
    "gru-solution": """
def gru_step(x, h, W_ih, W_hh, b_ih, b_hh):
    H = h.shape[1]
    by_x, by_h = x @ W_ih.T + b_ih, h @ W_hh.T + b_hh
    rz = 1 / (1 + np.exp(-(by_x + by_h)[:, : 2 * H]))
    n = np.tanh(by_x[:, 2 * H :] + rz[:, :H] * by_h[:, 2 * H :])
    return n + rz[:, H:] * (h - n)
""",
    "cho-solution": """
def cho_step(x, h, W_ih, W_hh, b_ih, b_hh):
    W_r, W_z, W_n = np.split(W_hh, 3)
    b = b_ih + b_hh
    x_r, x_z, x_n = np.split(x @ W_ih.T + b, 3, axis=1)
    z, r = sigmoid(x_z + h @ W_z.T), sigmoid(x_r + h @ W_r.T)
    return z * h + (1 - z) * np.tanh(x_n + np.stack([W_n @ row for row in r * h]))
""",
    "differ-solution": """
def where_they_differ():
    W_hh = [[2, 0], [0, -2], [0, 0], [0, 0], [2, -2], [-2, 2]]
    return [[0]], [[2, 2]], [[0]] * 6, W_hh
""",
    "last-solution": """
def last_states(x, lengths, h0, W_ih, W_hh):
    rows = []
    for b, length in enumerate(lengths):
        h = h0[b : b + 1]
        for t in range(length):
            h = plain_step(x[t, b : b + 1], h, W_ih, W_hh)
        rows.append(h[0])
    return np.array(rows)
""",
    "mean-solution": """
def mean_loss(losses, lengths):
    real = [losses[t, b] for b, length in enumerate(lengths) for t in range(length)]
    return sum(real) / len(real)
""",
    "own-solution": """
def my_bias_and_steps():
    T, left, bias, share = personal_numbers(STUDENT_ID).values()
    steps = 0
    while retention(bias, steps) > share:
        steps += 1
    return round(float(-np.log(left ** (-1 / T) - 1)), 4), steps
""",
}
