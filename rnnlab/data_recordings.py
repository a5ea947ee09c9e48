"""Recordings of people that installed packages ship, as labelled sequences of several columns."""

import numpy as np

from rnnlab.sequences import Sequences, linear_accuracy
from rnnlab.shipped import Baseline, Dataset, counted, read

__all__ = ["japanese_vowels"]


def japanese_vowels():
    """Load nine men who say two vowels: 12 cepstrum coefficients in 7 to 29 frames. Who spoke? `Sequences`.

    The 370 utterances to test were recorded on other occasions than the 270 others, of which 6 of each speaker, drawn
    once, are there to validate.
    """
    given, test = (_speakers(part, sha) for part, sha in JAPANESE_VOWELS.items())
    counted("japanese_vowels", "utterances", len(given) + len(test), 640)
    train, validation = given.split(np.random.default_rng(0), share=0.2)
    frames = train.x[train.mask]
    mean, std = frames.mean(axis=0), frames.std(axis=0)

    def standardized(part):
        return Sequences(np.where(part.mask[..., None], (part.x - mean) / std, 0), part.lengths, part.labels, 9)

    train, validation, test = map(standardized, (train, validation, test))
    return Dataset(
        name="japanese_vowels",
        features=tuple(f"cepstrum coefficient {number}" for number in range(1, 13)),
        train=train,
        validation=validation,
        test=test,
        mean=mean,
        std=std,
        source="M. Kudo, J. Toyama and M. Shimbo (1999), in the UCI archive, as shipped by the package sktime",
        licence="the files name none; sktime, which ships them, is under the BSD 3-Clause licence",
        baseline=Baseline(
            "linear discriminant analysis of the mean of each coefficient",
            "share of utterances named rightly",
            linear_accuracy(train, validation),
        ),
        classes=tuple(f"speaker {number}" for number in range(1, 10)),
    )


JAPANESE_VOWELS = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}


def _speakers(part, sha):
    """Read a file of which a line is an utterance: 12 rows of frames, then the speaker, set apart by colons."""
    lines = read("sktime", f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts", sha).decode().splitlines()
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    utterances = [np.array([row.split(",") for row in rows], float).T for *rows, _ in rows]
    return Sequences.padded(utterances, [int(speaker) - 1 for *_, speaker in rows], classes=9)


LOADERS = {"japanese_vowels": japanese_vowels}
