"""The stored LSTM in NumPy, float64: its equations, reading a text, and writing one character after the other."""

import numpy as np

PROMPTS = ["The ", "   >>> ", "If the ", "class "]
TEMPERATURES = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
CHARACTERS = 280


def load(path):
    """Return the stored parameters in float64, and the symbols in the order of their numbers."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name].astype(float) for name in stored if name != "symbols"}, tuple(str(stored["symbols"]))


def sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2


def step(params, character, state):
    """Read one character: its number, (B,), and the state (h, c), each (B, H). Return logits (B, V), and the state."""
    h, c = state
    x = params["embedding"][character]
    z = x @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"].T + params["bias_hh"]
    i, f, g, o = np.split(z, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h @ params["weight_out"].T + params["bias_out"], (h, c)


def zeros(params, batch):
    """Return the state before the first character."""
    H = params["weight_hh"].shape[1]
    return np.zeros((batch, H)), np.zeros((batch, H))


def read(params, numbers, state=None):
    """Read a text of numbers (T,); return the logits after each, (T, V), and the state at the end."""
    state, logits = state or zeros(params, 1), []
    for number in numbers:
        z, state = step(params, np.array([number]), state)
        logits.append(z[0])
    return np.array(logits), state


def softmax(logits, temperature=1.0):
    """Return p_i = exp(z_i / tau) / sum_j exp(z_j / tau) over the last axis."""
    z = logits / np.asarray(temperature)
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def choose(p, luck):
    """Return the symbol at which the sum of probabilities (B, V) passes a number between 0 and 1, (B,)."""
    return np.minimum((p.cumsum(axis=-1) < luck[:, None]).sum(axis=-1), p.shape[-1] - 1)


def samples(params, symbols, prompt, temperatures=TEMPERATURES, length=CHARACTERS, seed=0):
    """Write a text after a prompt at each temperature, all with the same random numbers.

    Args:
        prompt: a string of symbols.
        seed: of `length` numbers between 0 and 1, of which each chooses a character.

    Returns:
        list of strings of `length` characters.
    """
    luck, tau = np.random.default_rng(seed).random(length), np.array(temperatures)[:, None]
    state, written = zeros(params, len(temperatures)), []
    for character in "\n\n" + prompt:
        number = np.full(len(temperatures), symbols.index(character))
        z, state = step(params, number, state)
    for n in range(length):
        number = choose(softmax(z, tau), np.full(len(temperatures), luck[n]))
        written.append(number)
        z, state = step(params, number, state)
    return ["".join(symbols[number] for number in row) for row in np.array(written).T]


def ngram_samples(model, prompt, length=CHARACTERS, seed=0):
    """Write a text after a prompt with n-grams."""
    luck, text = np.random.default_rng(seed).random(length), "\n\n" + prompt
    for n in range(length):
        p = model.distribution(text[len(text) - model.order + 1 :])
        text += model.symbols[choose(p[None], luck[n : n + 1])[0]]
    return text[-length:]
