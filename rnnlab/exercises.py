"""Check your answers to the exercises of the lessons, with a hint more after each wrong one.

>>> check("01.3", None)
01.3 is not answered yet: two whole numbers: how many states the gradient reaches with truncate=4, and with truncate=9.
>>> check("01.3", (4, 9))
01.3: not yet. Hint 1 of 2: Where do windows of 4 steps begin, if the first begins at step 0?
>>> check("01.3", (2, 1))
01.3: right.
"""

import textwrap

import numpy as np

from rnnlab import answers
from rnnlab.answers import Exercise, at

EXERCISES = {
    "01.1": Exercise(
        "a number: what the program computes for the wrong one of the two terms",
        answers.detached_use,
        ("The use at step 1 stays as it is. Which path from h_0 to the loss is cut?",
         "What is left is the immediate derivative of h_0, times the slope of the tanh, times the state before."),
    ),
    "01.3": Exercise(
        "two whole numbers: how many states the gradient reaches with truncate=4, and with truncate=9",
        answers.reached_states,
        ("Where do windows of 4 steps begin, if the first begins at step 0?",
         "The last step of ten is step 9. With windows of 9 it stands in a window of its own."),
        tolerance=0,
    ),
    "01.4": Exercise(
        "two numbers in MB, a million bytes: with all states, and with the best s",
        answers.megabytes_of_states,
        ("One state of the batch has 64 times 512 numbers of 4 bytes.", "T / s + s states, at s near the root of T."),
        tolerance=0.03,
    ),
    "02.3": Exercise(
        "two numbers: the median spectral radius and the median largest singular value of (b)",
        answers.radius_and_stretch,
        ("PyTorch draws uniformly between -1/sqrt(H) and 1/sqrt(H).",
         "The radius is the largest absolute value of an eigenvalue; np.linalg.norm(W, 2) is the singular value."),
        tolerance=0.06,
    ),
    "03.1": Exercise(
        "a function of w that returns both biases at which fixed points meet",
        lambda: [answers.folds(w) for w in (4.5, 5.0, 8.0)],
        ("At a fold the map has slope 1 at its fixed point: w s (1 - s) = 1 with s = sigmoid(x).",
         "Solve for s, both signs; then x = log(s / (1 - s)) and b = x - w s."),
        kind="function", use=lambda answer: [sorted(answer(w)) for w in (4.5, 5.0, 8.0)], tolerance=1e-3,
    ),
    "04.1": Exercise(
        "two numbers: from which w on there is a cliff, and lambda^50 for w = 5.5",
        answers.cliff,
        ("There is a cliff where lambda is above 1.", "The slope of the sigmoid is s (1 - s), at s = sigmoid(0.5)."),
    ),
    "04.2": Exercise(
        "two numbers in degrees: the largest turn for n = 2 and for n = 1000",
        answers.largest_turns,
        ("Take one large entry, all others tiny and equal, and a threshold at their size.",
         "The clipped gradient has n equal entries: its cosine with one axis is 1/sqrt(n)."),
    ),
    "05.1": Exercise(
        "a number: the factor per step",
        answers.factor_at_rest,
        ("Which value have all states then, and which slope has the tanh there?",
         "Each Jacobian is the orthogonal matrix itself."),
        tolerance=1e-6,
    ),
    "06.1": Exercise(
        "a function of kappa that returns the factor of one update at the best learning rate",
        lambda: [answers.best_factor(kappa) for kappa in (1.5, 10, 200)],
        ("At the best rate both axes have the same factor, with opposite signs.", "The rate is 2 / (1 + kappa)."),
        kind="function", use=at((1.5,), (10,), (200,)), tolerance=1e-3,
    ),
    "06.2": Exercise(
        "two numbers: the largest stable lr times lambda with momentum 0.9, heavy ball first, then Nesterov",
        answers.stable_rates,
        ("Write one update as a matrix that acts on (velocity, weight).",
         "At the limit one of its eigenvalues is -1. For the heavy ball that gives 2 (1 + mu)."),
    ),
    "06.3": Exercise(
        "six numbers: the three steps after the cut in PyTorch's convention, then the three in that of Keras",
        answers.steps_after_the_cut,
        ("PyTorch multiplies the velocity by lr when it steps; in Keras lr is inside the velocity.",
         "Before the cut the velocity is near 10 in PyTorch and near 1 in Keras."),
    ),
    "06.4": Exercise(
        "a function of (lr, max_norm, momentum) that returns the longest possible step",
        lambda: [answers.longest_step(*case) for case in ((0.1, 0.1, 0.9), (0.01, 2.0, 0.5), (1.0, 1.0, 0.0))],
        ("The worst case: all gradients are as long as the clip allows and point one way.",
         "The velocity is then a geometric series."),
        kind="function", use=at((0.1, 0.1, 0.9), (0.01, 2.0, 0.5), (1.0, 1.0, 0.0)),
    ),
    "07.1": Exercise(
        "three numbers: by which factor the rare weight lags under AdaGrad, RMSProp and SGD",
        answers.lags,
        ("AdaGrad: the k-th gradient meets a sum of k squares.", "RMSProp: v is near p c^2, and p n steps are made."),
        tolerance=0.03,
    ),
    "07.2": Exercise(
        "a number: RMSProp's first step with alpha = 0.99, in learning rates",
        answers.first_step,
        ("The mean of squares starts at 0: what is it after one gradient g?", "The step is g / sqrt(0.01 g^2)."),
    ),
    "08.1": Exercise(
        "two numbers of updates: with AdamW's default, and with Muon's",
        answers.halving,
        ("One update multiplies by 1 - lr * decay.", "Solve (1 - lr * decay)^n = 1/2 for n."),
        tolerance=0.02,
    ),
    "08.3": Exercise(
        "a function of (lr, sigma) that returns the variance of w that reproduces itself",
        lambda: [answers.stationary_variance(*case) for case in ((0.1, 1.0), (0.5, 2.0), (0.01, 3.0))],
        ("Variances of independent numbers add up: V = (1 - lr)^2 V + ...", "Solve for V."),
        kind="function", use=at((0.1, 1.0), (0.5, 2.0), (0.01, 3.0)),
    ),
    "09.1": Exercise(
        "a number: by how many standard deviations the best of 50 beats the mean",
        answers.best_of_fifty,
        ("Draw 50 normal numbers, keep the largest, and repeat 10,000 times.",),
        tolerance=0.03,
    ),
    "09.2": Exercise(
        "two numbers: how often such an optimizer clears the bar of ten seeds, and how many seeds it takes",
        answers.clearing_the_bar,
        ("It must win ten times in a row.", "For n seeds find the wins that chance reaches less often than 0.05 / 48."),
        tolerance=0.005,
    ),
    "10.1": Exercise(
        "a function of (mark, reset), each 0 or 1, that returns i, f, g",
        answers.counts,
        ("Counting needs the old value at a mark: what must the forget gate be there?",
         "The forget gate closes at a reset and nowhere else; the input gate opens at a mark and nowhere else."),
        kind="function", use=answers.counted,
    ),
    "10.2": Exercise(
        "two numbers: the bias, and the slope of the sigmoid there",
        answers.keeping,
        ("sigmoid(b)^1000 = 0.1.", "The slope of the sigmoid is s (1 - s)."),
    ),
    "12.3": Exercise(
        'a dict of arrays: "weight_ih" (2, 1) and "bias_ih" (2,); the state starts at 1',
        lambda: answers.BITS.ravel().cumsum() % 2,
        ("At a one the state must change its sign, at a zero keep it: the factor 2 z - 1 is -1 or 1.",
         "z must be 0 at a one and 1 at a zero: a large negative weight. And nothing may be added: n = 0."),
        kind="parameters", use=answers.parity_of, tolerance=0,
    ),
    "13.4": Exercise(
        "a function of the symmetric matrix P that returns the factor by which differences shrink at each step",
        lambda: [answers.fading(P) for P in answers.rings()],
        ("P has the eigenvalue 1, with a vector that does not differ between nodes but for their degrees.",
         "Every other eigenvalue shrinks its part: the largest of their absolute values decides."),
        kind="function", use=lambda answer: [answer(P.copy()) for P in answers.rings()],
    ),
}  # fmt: skip

_wrong = {}  # name of an exercise -> wrong answers so far in this session


def check(name, answer):
    """Print whether an answer is right, or a hint; one hint more after each wrong answer.

    Args:
        name: lesson and exercise, such as "04.2".
        answer: a number, a tuple or list of numbers, a function or a dict of arrays, as the exercise asks; None prints
            what is asked for.

    Raises:
        ValueError: no exercise of that name can be checked.
        TypeError: an answer of another kind than asked for.

    >>> check("10.1", lambda mark, reset: (mark, 1 - reset, 1))
    10.1: right.
    """
    if name not in EXERCISES:
        raise ValueError(
            f"expected one of {', '.join(EXERCISES)}, got {name!r}; other exercises have no answer to compare"
        )
    exercise = EXERCISES[name]
    if answer is None:
        _say(f"{name} is not answered yet: {exercise.asks}.")
        return
    expected = [np.atleast_1d(np.asarray(value, dtype=float)) for value in exercise.expected()]
    got = _values(name, exercise, answer)
    if len(got) == len(expected) and all(map(_close, got, expected, [exercise.tolerance] * len(got))):
        _say(f"{name}: right.")
        return
    hints = exercise.hints
    _wrong[name] = min(_wrong.get(name, 0) + 1, len(hints))
    size = f" (expected {len(expected)} numbers, got {len(got)})" if len(got) != len(expected) else ""
    _say(f"{name}: not yet{size}. Hint {_wrong[name]} of {len(hints)}: {hints[_wrong[name] - 1]}")


def _say(text):
    """Print in lines that fit the page."""
    print(textwrap.fill(text, width=78))


def _values(name, exercise, answer):
    """Return the values to compare; raise TypeError if the answer is of another kind."""
    fits = {"function": callable(answer), "parameters": isinstance(answer, dict)}
    if not fits.get(exercise.kind, not callable(answer) and not isinstance(answer, dict | str)):
        raise TypeError(f"{name}: expected {exercise.asks}, got {type(answer).__name__}")
    values = exercise.use(answer) if exercise.use else np.ravel(np.asarray(answer, dtype=object)).tolist()
    try:
        return [np.atleast_1d(np.asarray(value, dtype=float)) for value in values]
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected {exercise.asks}, got {values!r:.200}") from None


def _close(got, expected, tolerance):
    """Whether values agree, to a relative error."""
    return got.shape == expected.shape and bool(np.allclose(got, expected, rtol=tolerance, atol=1e-9))
