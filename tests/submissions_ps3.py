"""Problem set 3: its test cells and their points, and mistakes a student would make (see `coursework`)."""

from coursework import faults_of

MANUAL = "correction-answer"
POINTS = {
    "hidden-references": 0,
    "hidden-torch": 0,
    "hidden-steps": 0,
    "momentum-visible-test": 1,
    "momentum-hidden-test": 1,
    "momentum-schedule-test": 1,
    "momentum-copies-test": 1,
    "nesterov-visible-test": 1,
    "nesterov-hidden-test": 1,
    "adagrad-visible-test": 1,
    "adagrad-hidden-test": 1,
    "adagrad-eps-test": 1,
    "rmsprop-visible-test": 1,
    "rmsprop-hidden-test": 1,
    "rmsprop-eps-test": 1,
    MANUAL: 5,
    "adam-visible-test": 1,
    "adam-moments-test": 2,
    "adam-updates-test": 2,
    "adam-eps-test": 1,
    "adamw-visible-test": 1,
    "adamw-hidden-test": 2,
    "clipped-visible-test": 1,
    "clipped-above-test": 2,
    "clipped-below-test": 1,
    "own-adam-test": 1,
    "own-rmsprop-test": 1,
    "own-momentum-test": 1,
    "statements-scale-test": 1,
    "statements-credit-test": 1,
}

TWO_LINES = """velocity = {name: momentum * velocity[name] + g for name, g in grads.items()}
    params = {name: w - lr * velocity[name] for name, w in params.items()}"""
RATE_INSIDE = """velocity = {name: momentum * velocity[name] + lr * g for name, g in grads.items()}
    params = {name: w - velocity[name] for name, w in params.items()}"""
STEP_FIRST = """params = {name: w - lr * velocity[name] for name, w in params.items()}
    velocity = {name: momentum * velocity[name] + g for name, g in grads.items()}"""
IN_PLACE = """for name in params:
        velocity[name] *= momentum
        velocity[name] += grads[name]
        params[name] -= lr * velocity[name]"""
CORRECTED = "m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)"
T_FROM_ZERO = "m[name] / (1 - beta1 ** (t - 1)), v[name] / (1 - beta2 ** (t - 1))"
KEEP_CORRECTED = 'return new, {"t": t, "m": {n: a / (1 - beta1**t) for n, a in m.items()}, "v": v}'
COUPLED = """t, new = state["t"] + 1, {}
    grads, weight_decay = {name: g + weight_decay * params[name] for name, g in grads.items()}, 0.0"""
SCALED = "velocity = {name: momentum * velocity[name] + scale * g for name, g in grads.items()}"
VELOCITY_CLIPPED = """velocity = {name: momentum * velocity[name] + g for name, g in grads.items()}
    norm = np.sqrt(sum(np.sum(v**2) for v in velocity.values()))
    velocity = {name: v * min(1.0, max_norm / max(norm, 1e-300)) for name, v in velocity.items()}"""
EXHAUSTED = """arrays = (g for g in grads.values())
    norm = np.sqrt(sum(np.sum(g**2) for g in arrays))
    for g in arrays:
        g *= max_norm / norm
    velocity = {name: momentum * velocity[name] + g for name, g in grads.items()}"""
FAULTS = [
    *faults_of(
        "momentum",
        ("dampened", "+ g for", "+ (1 - momentum) * g for", "visible hidden schedule"),
        ("learning rate inside the velocity", TWO_LINES, RATE_INSIDE, "visible schedule"),
        ("step with the old velocity", TWO_LINES, STEP_FIRST, "visible hidden schedule"),
        ("uphill", "w - lr", "w + lr", "visible hidden schedule"),
        ("inputs changed", TWO_LINES, IN_PLACE, "copies"),
        ("velocity overwritten", "momentum * velocity[name] + g", "g", "visible hidden schedule"),
        ("first array only", "in params.items()}", "in list(params.items())[:1]}", "hidden schedule"),
        ("outputs exchanged", "return params, velocity", "return velocity, params", "visible hidden schedule"),
    ),
    *faults_of(
        "nesterov",
        ("plain momentum", "(grads[name] + momentum * velocity[name])", "velocity[name]", "visible hidden"),
        (
            "gradient forgotten",
            "(grads[name] + momentum * velocity[name])",
            "momentum * velocity[name]",
            "visible hidden",
        ),
        ("momentum forgotten in the look ahead", "+ momentum * velocity[name])", "+ velocity[name])", "visible hidden"),
    ),
    *faults_of(
        "adagrad",
        ("squares overwritten", "squares[name] + g**2", "g**2", "visible hidden"),
        ("root forgotten", "(np.sqrt(squares[name]) + eps)", "(squares[name] + eps)", "visible hidden eps"),
        ("epsilon inside the root", "(np.sqrt(squares[name]) + eps)", "np.sqrt(squares[name] + eps)", "eps"),
        ("epsilon forgotten", " + eps)", ")", "eps"),
    ),
    *faults_of(
        "rmsprop",
        (
            "alpha and 1 - alpha exchanged",
            "alpha * mean_square[name] + (1 - alpha)",
            "(1 - alpha) * mean_square[name] + alpha",
            "visible hidden eps",
        ),
        ("sum in place of mean", "(1 - alpha) * g**2", "g**2", "visible hidden eps"),
        ("epsilon inside the root", "(np.sqrt(mean_square[name]) + eps)", "np.sqrt(mean_square[name] + eps)", "eps"),
        ("root forgotten", "(np.sqrt(mean_square[name]) + eps)", "(mean_square[name] + eps)", "visible hidden eps"),
    ),
    *faults_of(
        "adam",
        ("bias correction with t from 0", CORRECTED, T_FROM_ZERO, "visible updates eps"),
        ("no bias correction", CORRECTED, "m[name], v[name]", "visible updates eps"),
        ("only m corrected", "v[name] / (1 - beta2**t)", "v[name]", "visible updates eps"),
        ("t not counted", '{"t": t,', '{"t": state["t"],', "moments updates"),
        ("corrected means kept", 'return new, {"t": t, "m": m, "v": v}', KEEP_CORRECTED, "moments updates"),
        ("epsilon inside the root", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)", "eps"),
        (
            "epsilon before the correction",
            "(np.sqrt(v_hat) + eps)",
            "(np.sqrt(v[name]) + eps) * np.sqrt(1 - beta2**t)",
            "eps",
        ),
        ("beta2 for m", "beta1 * state", "beta2 * state", "moments updates"),
        ("m a sum", "(1 - beta1) * g for", "g for", "visible moments updates eps"),
        ("uphill", "w - lr", "w + lr", "visible updates eps"),
    ),
    *faults_of(
        "adamw",
        ("weight decay through the gradient", 't, new = state["t"] + 1, {}', COUPLED, "visible hidden"),
        ("decay without the learning rate", "lr * weight_decay * w", "weight_decay * w", "visible hidden"),
        (
            "decay of the new weight",
            "w - lr * weight_decay * w - lr *",
            "w - lr * weight_decay * new.get(name, w - lr * m_hat / (np.sqrt(v_hat) + eps)) - lr *",
            "hidden",
        ),
        ("no bias correction", CORRECTED, "m[name], v[name]", "hidden"),
        ("weights grow", "w - lr * weight_decay * w", "w + lr * weight_decay * w", "visible hidden"),
    ),
    *faults_of(
        "clipped",
        ("velocity clipped", SCALED, VELOCITY_CLIPPED, "above"),
        (
            "each array alone",
            "scale * g for",
            "g * min(1, max_norm / max(np.linalg.norm(g), 1e-300)) for",
            "visible above",
        ),
        ("by value in place of norm", "scale * g for", "np.clip(g, -max_norm, max_norm) for", "visible above"),
        ("generator exhausted, nothing clipped", SCALED, EXHAUSTED, "visible above"),
        ("always rescaled", " if norm > max_norm else 1.0", "", "below"),
        (
            "square root forgotten",
            "np.sqrt(sum(np.sum(g**2) for g in grads.values()))",
            "sum(np.sum(g**2) for g in grads.values())",
            "visible above",
        ),
    ),
    *faults_of(
        "own",
        ("no bias correction", 'adam = mine["lr"]', 'adam = mine["lr"] * 0.1 / np.sqrt(0.001)', "adam"),
        ("proportional to g", 'adam = mine["lr"]', 'adam = mine["lr"] * mine["g"]', "adam"),
        ("RMSProp believed corrected", ' / np.sqrt(1 - mine["alpha"])', "", "rmsprop"),
        ("off by one in k", '** mine["k"]', '** (mine["k"] - 1)', "momentum"),
        ("long run in place of k", '(1 - mine["momentum"] ** mine["k"])', "1", "momentum"),
    ),
    *faults_of(
        "statements",
        ("clip believed to slow Adam", "[True, False", "[True, True", "scale"),
        ("Adam believed proportional", "[True, False", "[False, False", "scale"),
        ("adaptive rates believed to repair memory", "False, True]", "True, True]", "credit"),
        ("far lags believed to decide", "False, True]", "False, False]", "credit"),
    ),
]

# Other right ways, some built on earlier tasks: worth full marks.
ALTERNATIVES = {
    "momentum-solution": """
def momentum_step(params, grads, velocity, lr, momentum):
    new, after = {}, {}
    for name in params:
        after[name] = grads[name] + momentum * velocity[name]
        new[name] = params[name] - after[name] * lr
    return new, after
""",
    "nesterov-solution": """
def nesterov_step(params, grads, velocity, lr, momentum):
    ahead, velocity = momentum_step(params, grads, velocity, lr, momentum)
    once_more = {name: w - lr * grads[name] for name, w in params.items()}
    return {name: w - lr * momentum * velocity[name] for name, w in once_more.items()}, velocity
""",
    "adagrad-solution": """
def adagrad_step(params, grads, squares, lr, eps):
    params, squares = ({k: a.copy() for k, a in d.items()} for d in (params, squares))
    for name, g in grads.items():
        squares[name] += g * g
        params[name] -= lr * g / (squares[name] ** 0.5 + eps)
    return [params, squares]
""",
    "rmsprop-solution": """
def rmsprop_step(params, grads, mean_square, lr, alpha, eps):
    v = {name: old + (1 - alpha) * (grads[name] ** 2 - old) for name, old in mean_square.items()}
    return {name: params[name] - lr / (v[name] ** 0.5 + eps) * grads[name] for name in v}, v
""",
    "adam-solution": """
def adam_step(params, grads, state, lr, beta1, beta2, eps):
    new = {"t": state["t"] + 1, "m": {}, "v": {}}
    c1, c2 = 1 - beta1 ** new["t"], 1 - beta2 ** new["t"]
    moved = {}
    for name, g in grads.items():
        new["m"][name] = m = beta1 * state["m"][name] + (1 - beta1) * g
        new["v"][name] = v = beta2 * state["v"][name] + (1 - beta2) * g * g
        moved[name] = params[name] - lr / c1 * m / (np.sqrt(v) / np.sqrt(c2) + eps)
    return moved, new
""",
    "adamw-solution": """
def adamw_step(params, grads, state, lr, beta1, beta2, eps, weight_decay):
    shrunk = {name: w * (1 - lr * weight_decay) for name, w in params.items()}
    return adam_step(shrunk, grads, state, lr, beta1, beta2, eps)
""",
    "clipped-solution": """
def clipped_step(params, grads, velocity, lr, momentum, max_norm):
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in grads.values()]))
    if norm > max_norm:
        grads = {name: g * (max_norm / norm) for name, g in grads.items()}
    return momentum_step(params, grads, velocity, lr, momentum)
""",
    "own-solution": """
def my_distances():
    mine = personal_numbers(STUDENT_ID)
    moved = mine["lr"] * mine["g"] * sum(mine["momentum"] ** j for j in range(mine["k"]))
    return np.array([mine["lr"], mine["lr"] / (1 - mine["alpha"]) ** 0.5, float(f"{moved:.4g}")])
""",
    "statements-solution": """
def true_statements():
    return True, False, False, True
""",
}
