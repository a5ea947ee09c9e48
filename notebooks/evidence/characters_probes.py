"""What a character model makes of what stands further back: cost by characters seen, and open brackets."""

import numpy as np
import torch

LENGTH, STRIDE = 256, 8
EDGES = [1, 2, 3, 5, 9, 17, 33, 65, 129, 257]  # characters seen before the one that is named: [1], [2], [3, 4], ...
TAIL = 200  # characters that a model reads before a closing bracket
REACHES = [(1, 4), (5, 8), (9, 16), (17, 32), (33, 64)]  # characters between the brackets
OPENINGS = {"round": "(", "square": "[", "none": " "}


def by_context(model, numbers):
    """Return the bits per character of an LSTM that begins at zero, by how many characters it has seen, (bins,).

    Args:
        model: gives logits (T, B, V) and a state.
        numbers: (N,), a text.
    """
    starts = np.arange(0, len(numbers) - LENGTH - 1, STRIDE)
    rows = torch.tensor(numbers[starts + np.arange(LENGTH + 1)[:, None]])
    costs = []
    with torch.no_grad():
        for some in rows.split(256, dim=1):
            logits = model(some[:-1])[0].log_softmax(dim=-1)
            costs.append(-logits.gather(2, some[1:, :, None])[..., 0] / np.log(2))
    mean = torch.cat(costs, dim=1).double().mean(dim=1).numpy()
    return [float(mean[low - 1 : high - 1].mean()) for low, high in zip(EDGES[:-1], EDGES[1:], strict=True)]


def find_brackets(text):
    """Return (place of "(", place of its ")") of each pair with no other bracket inside and 1 to 64 characters."""
    found, opened = [], None
    for place, character in enumerate(text):
        if character in "([":
            opened = place if character == "(" else None
        elif character in ")]":
            if character == ")" and opened is not None and 1 < place - opened <= REACHES[-1][1] + 1 and place >= TAIL:
                found.append((opened, place))
            opened = None
    return found


def tails(text, places):
    """Return for each kind of opening the TAIL characters before each ")", with that character in place of its "("."""
    return {
        kind: [text[close - TAIL : opened] + sign + text[opened + 1 : close] for opened, close in places]
        for kind, sign in OPENINGS.items()
    }


def closing(tail_numbers, model, symbols):
    """Return log2 of the probability of ")" and of "]" after each tail, (tails, 2)."""
    with torch.no_grad():
        logits = model(torch.tensor(np.array(tail_numbers).T))[0][-1].double().log_softmax(dim=-1)
    return (logits[:, [symbols.index(")"), symbols.index("]")]] / np.log(2)).numpy()


def brackets(text, models, ngrams, encode):
    """Return a list with one object for each bracket of a text.

    Each has `inside`, the characters between; `lstm` and `ngram`, log2 of how many times as probable ")" is after the
    true "(" as after a space in its place (the mean over the LSTMs), and `other`, the same against "[" in its place.
    """
    places = find_brackets(text)
    read = tails(text, places)
    lstm = {
        kind: np.mean(
            [closing([encode(one, model.symbols) for one in own], model, model.symbols) for model in models], 0
        )
        for kind, own in read.items()
    }
    ngram = {
        kind: np.log2([[ngrams.probability(one[1 - ngrams.order :], sign) for sign in ")]"] for one in own])
        for kind, own in read.items()
    }
    return [
        {
            "inside": close - opened - 1,
            "lstm": round(float(lstm["round"][n, 0] - lstm["none"][n, 0]), 4),
            "other": round(float(lstm["round"][n, 0] - lstm["square"][n, 0]), 4),
            "square": round(float(lstm["square"][n, 1] - lstm["none"][n, 1]), 4),
            "ngram": round(float(ngram["round"][n, 0] - ngram["none"][n, 0]), 4),
        }
        for n, (opened, close) in enumerate(places)
    ]
