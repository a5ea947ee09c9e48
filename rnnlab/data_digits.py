"""Handwritten digits that move across frames, and a caption that says how: videos that can be made on any machine."""

import gzip
from dataclasses import dataclass

import numpy as np

from rnnlab.shipped import Baseline, Dataset, counted, read

__all__ = ["Clips", "moving_digits"]

SIDE, FRAMES = 20, 9
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # rows, columns of a frame
SHA = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


@dataclass(frozen=True)
class Clips:
    """Hold videos with captions.

    Attributes:
        frames: (T, B, 20, 20), numbers from 0 (black) to 1 (white); float32.
        captions: B strings, such as "a seven moves up, then left".
        unseen: (B,), True where no clip to train shows this digit on this way.
    """

    frames: np.ndarray
    captions: tuple
    unseen: np.ndarray

    def __len__(self):
        """Return B, the number of clips."""
        return len(self.captions)

    def take(self, chosen):
        """Return some of them, by their numbers or by a mask (B,)."""
        chosen = np.arange(len(self))[chosen]
        return Clips(self.frames[:, chosen], tuple(self.captions[b] for b in chosen), self.unseen[chosen])


def moving_digits():
    """Load 3,000 clips of 9 frames: a handwritten digit moves, may turn once, and a caption says so. `Clips`.

    2,000 to train, 400 to validate, 600 to test. The parts share no handwriting: the 1,797 images of 8 x 8 pixels are
    dealt out first. Of the 160 pairs of a digit and a way (4 straight ones and 12 with a turn), 32 never occur in
    `train`; they make up half of the two other parts, see `Clips.unseen`. A digit moves a pixel a frame, and a turn
    comes after 2 to 6 of the 8 moves.
    """
    lines = gzip.decompress(read("sklearn", "datasets/data/digits.csv.gz", SHA)).decode().splitlines()
    table = np.loadtxt(lines, delimiter=",")
    counted("moving_digits", "images", len(table), 1797)
    rng = np.random.default_rng(0)
    table = rng.permutation(table)
    pairs = rng.permutation([(digit, way) for digit in range(10) for way in range(len(ROUTES))])
    held, known = pairs[:32], pairs[32:]
    train = _clips(table[:1197], rng, 2000, known)
    validation = _clips(table[1197:1397], rng, 400, known, held)
    test = _clips(table[1397:], rng, 600, known, held)
    return Dataset(
        name="moving_digits",
        features=("brightness of a pixel, from 0 to 1",),
        train=train,
        validation=validation,
        test=test,
        source="E. Alpaydin and C. Kaynak (1998), handwritten digits in the UCI archive, as shipped by scikit-learn; "
        "the movements are drawn by this code",
        licence="CC BY 4.0 (UCI archive); scikit-learn, which ships them, is under the BSD 3-Clause licence",
        baseline=Baseline(
            "the most frequent word of `train` at each place",
            "share of words, the end counted as one, that are right",
            _constant(train, validation),
        ),
        classes=DIGITS,
    )


ROUTES = [(one,) for one in WAYS] + [(one, two) for one in WAYS for two in WAYS if one != two]


def _clips(table, rng, number, *pairs):
    """Draw clips of the images in `table`, equally many of each list of (digit, route)."""
    frames, captions, unseen = np.zeros((FRAMES, number, SIDE, SIDE), np.float32), [], np.zeros(number, bool)
    for b in range(number):
        unseen[b] = b % len(pairs)
        digit, route = rng.choice(pairs[b % len(pairs)])
        image = rng.choice(table[table[:, 64] == digit])[:64].reshape(8, 8) / 16
        for t, (row, column) in enumerate(_corners(rng, ROUTES[route])):
            frames[t, b, row : row + 8, column : column + 8] = image
        article = "an" if digit == 8 else "a"
        captions.append(f"{article} {DIGITS[digit]} moves {', then '.join(ROUTES[route])}")
    return Clips(frames, tuple(captions), unseen)


def _corners(rng, route):
    """Return where the upper left corner of the image is in each frame, (T, 2): from where, all of it stays within."""
    turn = rng.integers(2, 7) if len(route) == 2 else FRAMES - 1
    moves = [WAYS[route[0]]] * turn + [WAYS[route[-1]]] * (FRAMES - 1 - turn)
    path = np.concatenate([np.zeros((1, 2), int), np.cumsum(moves, axis=0)])
    return path + rng.integers(-path.min(axis=0), SIDE - 8 - path.max(axis=0) + 1)


def _words(caption):
    """Return a caption as words, padded with the end to 8."""
    words = caption.replace(",", " ,").split()
    return words + ["."] * (8 - len(words))


def _constant(train, validation):
    """Return the share of words that are right if each place has its most frequent word."""
    one, two = (np.array([_words(caption) for caption in part.captions]) for part in (train, validation))
    guess = [max(set(column), key=list(column).count) for column in one.T]
    real = np.cumsum(two == ".", axis=1) <= 1  # up to the first end
    return float((two == guess)[real].mean())


LOADERS = {"moving_digits": moving_digits}
