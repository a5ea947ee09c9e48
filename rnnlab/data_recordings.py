"""Recordings of people that installed packages ship, as labelled sequences of several columns."""

import numpy as np

from rnnlab.sequences import Sequences, linear_accuracy, nearest_accuracy
from rnnlab.shipped import Baseline, Dataset, counted, read

__all__ = ["basic_motions", "gunpoint", "japanese_vowels"]


def japanese_vowels():
    """Load nine men who say two vowels: 12 cepstrum coefficients in 7 to 29 frames. Who spoke? `Sequences`.

    The 370 utterances to test were recorded on other occasions than the 270 others, of which 6 of each speaker, drawn
    once, are there to validate.
    """
    train, validation, test = _parts(
        "japanese_vowels", "JapaneseVowels", JAPANESE_VOWELS, tuple("123456789"), "utterances", 640
    )
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


def gunpoint():
    """Load a hand's way across a video, 150 frames: does it draw a gun, or point a finger? `Sequences` of one column.

    Two people, one session. The 50 videos that the archive gives to train with are split, 10 of them drawn once to
    validate; they are so few that cross-validation within all 50 chooses better. The 150 to test are the archive's.

    Every track has mean 0 and standard deviation 1 over ITS OWN 150 frames, and the file holds no other version. So
    where the hand was in the picture and how far it moved is lost, and each frame was divided by what only the whole
    video tells: nobody who watches it live has these numbers.
    """
    train, validation, test = _parts("gunpoint", "GunPoint", GUNPOINT, ("1", "2"), "videos", 200)
    return Dataset(
        name="gunpoint",
        features=("x coordinate of the hand, in standard deviations of its track",),
        train=train,
        validation=validation,
        test=test,
        source="C. A. Ratanamahatana and E. Keogh (2005), in the UCR archive, as shipped by the package sktime",
        licence="the files name none; sktime, which ships them, is under the BSD 3-Clause licence",
        baseline=_nearest(train, validation, "videos"),
        classes=("gun", "point"),
    )


def basic_motions():
    """Load what a smart watch measured while four students moved, 100 steps of 0.1 s. Which motion? `Sequences`.

    40 recordings to train with, 8 of them drawn once to validate, and the archive's 40 to test. Four students did each
    of four motions five times. The files do not say who is who, so the same people may be in all parts; nor do they
    name the columns, which are taken to be in the order of their description.
    """
    kinds = ("Standing", "Running", "Walking", "Badminton")
    train, validation, test = _parts("basic_motions", "BasicMotions", BASIC_MOTIONS, kinds, "recordings", 80)
    mean, std = train.x.mean(axis=(0, 1)), train.x.std(axis=(0, 1))
    train, validation, test = (
        Sequences((part.x - mean) / std, part.lengths, part.labels, 4) for part in (train, validation, test)
    )
    return Dataset(
        name="basic_motions",
        features=tuple(f"{sensor}, axis {axis}" for sensor in ("accelerometer", "gyroscope") for axis in (1, 2, 3)),
        train=train,
        validation=validation,
        test=test,
        mean=mean,
        std=std,
        source="a student project, in the UEA archive (A. Bagnall et al., 2018), as shipped by the package sktime",
        licence="the files name none; sktime, which ships them, is under the BSD 3-Clause licence",
        baseline=_nearest(train, validation, "recordings"),
        classes=tuple(kind.lower() for kind in kinds),
    )


GUNPOINT = {
    "TRAIN": "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5",
    "TEST": "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e",
}
BASIC_MOTIONS = {
    "TRAIN": "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
    "TEST": "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
}


def _parts(name, files, shas, kinds, things, number):
    """Return the archive's part to train with in two, a fifth of each kind to validate, and its part to test."""
    given, test = (_recorded(files, part, sha, kinds) for part, sha in shas.items())
    counted(name, things, len(given) + len(test), number)
    return *given.split(np.random.default_rng(0), share=0.2), test


def _recorded(name, part, sha, kinds):
    """Read a file of which a line is a recording: a row of numbers for each column, then its kind, between colons."""
    lines = read("sktime", f"datasets/data/{name}/{name}_{part}.ts", sha).decode().splitlines()
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    recordings = [np.array([row.split(",") for row in rows], float).T for *rows, _ in rows]
    return Sequences.padded(recordings, [kinds.index(kind) for *_, kind in rows], classes=len(kinds))


def _nearest(train, validation, things):
    return Baseline(
        "the label of the nearest in train, by the Euclidean distance over all steps and columns",
        f"share of {things} named rightly",
        nearest_accuracy(train, validation),
    )


LOADERS = {"basic_motions": basic_motions, "gunpoint": gunpoint, "japanese_vowels": japanese_vowels}
