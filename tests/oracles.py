"""Oracles for hand-written derivatives."""

import numpy as np


def finite_differences(f, array, eps=1e-6):
    """Return the central-difference gradient of the number f() with respect to an array that f reads."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + eps
        above = f()
        array[index] = kept - eps
        below = f()
        array[index] = kept
        gradient[index] = (above - below) / (2 * eps)
    return gradient


def worst_gap(gradients, references):
    """Return the largest difference between two dicts of arrays, over the largest reference entry (at least 1)."""
    assert gradients.keys() == references.keys()
    scale = max(1.0, *(np.abs(reference).max() for reference in references.values()))
    return max(np.abs(np.asarray(gradients[name]) - reference).max() for name, reference in references.items()) / scale
