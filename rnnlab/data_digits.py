"""Handwritten digits that move across frames, and a caption that says how: videos that can be made on any machine."""

import gzip
from dataclasses import dataclass

import numpy as np

from rnnlab.shipped import Baseline, Dataset, counted, read

__all__ = ["Clips", "caption_of", "moving_digits"]

SIDE, FRAMES, NOISE = 20, 9, 0.1
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # rows, columns of a frame
SHA = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


@dataclass(frozen=True)
class Clips:
    """Hold videos with captions.

    Attributes:
        frames: (T, B, 20, 20), brightness from 0 (black) to 1 (white); float32.
        captions: B strings, such as "a seven moves up, then left".
        unseen: (B,), True where no clip to train shows this digit on this way.
        corners: (T, B, 2), row and column of the upper left corner of the digit's 8 x 8 pixels.
        images: (B,), which of the images of the file it shows, from 0.
    """

    frames: np.ndarray
    captions: tuple
    unseen: np.ndarray
    corners: np.ndarray
    images: np.ndarray

    def __len__(self):
        """Return B, the number of clips."""
        return len(self.captions)

    def take(self, chosen):
        """Return some of them, by their numbers or by a mask (B,)."""
        chosen = np.arange(len(self))[chosen]
        captions = tuple(self.captions[b] for b in chosen)
        return Clips(
            self.frames[:, chosen], captions, self.unseen[chosen], self.corners[:, chosen], self.images[chosen]
        )


def moving_digits(known=128):
    """Load 5,000 clips of 9 frames: a handwritten digit moves, may turn once, and a caption says so. `Clips`.

    4,000 to train, 400 to validate, 600 to test. The parts share no handwriting: the 1,797 images of 8 x 8 pixels are
    dealt out first. Of the 160 pairs of a digit and a way (4 straight ones and 12 with a turn), 32 never occur in
    `train`; they make up half of the two other parts, see `Clips.unseen`. A digit moves a pixel a frame, and a turn
    comes after 2 to 6 of the 8 moves. Each clip has a brightness of the background (0 to 0.3) and a contrast (0.5 to 1)
    of its own, and each pixel of each frame normal noise of standard deviation 0.1; the result is cut to 0 and 1.

    Args:
        known: how many pairs `train` shows, from 16 to 128; with fewer, `unseen` still marks those 32.
            Every digit and every way is among them.

    Raises:
        ValueError: `known` out of range, or a file that is not the one this code was written for.
    """
    if not 16 <= known <= 128:
        raise ValueError(f"expected known from 16 to 128, since each of 16 ways must be shown, got {known!r}")
    lines = gzip.decompress(read("sklearn", "datasets/data/digits.csv.gz", SHA)).decode().splitlines()
    table = np.loadtxt(lines, delimiter=",")
    counted("moving_digits", "images", len(table), 1797)
    rng = np.random.default_rng(0)
    order, pairs = rng.permutation(len(table)), _pairs(rng)
    shown, held = pairs[:128], pairs[128:]
    validation = _clips(table, order[1197:1397], rng, 400, shown, held)
    test = _clips(table, order[1397:], rng, 600, shown, held)
    train = _clips(table, order[:1197], rng, 4000, shown[:known])
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


def caption_of(digit, route):
    """Return what is said of a digit that goes this way.

    >>> caption_of(8, ("up", "left"))
    'an eight moves up, then left'
    """
    return f"{'an' if digit == 8 else 'a'} {DIGITS[digit]} moves {', then '.join(route)}"


def _pairs(rng):
    """Return all 160 pairs of a digit and a route, (160, 2): any 16 in a row have each route once."""
    digits, routes = rng.permutation(10), rng.permutation(16)
    return np.array([(digits[n % 10], routes[(n + n // 80) % 16]) for n in range(160)])


def _clips(table, images, rng, number, *pairs):
    """Draw clips of these images of the table, equally many of each list of (digit, route)."""
    frames, corners = np.zeros((FRAMES, number, SIDE, SIDE)), np.zeros((FRAMES, number, 2), int)
    captions, unseen, shown = [], np.zeros(number, bool), np.zeros(number, int)
    of_digit = [images[table[images, 64] == digit] for digit in range(10)]
    for b in range(number):
        unseen[b] = b % len(pairs)
        digit, route = rng.choice(pairs[b % len(pairs)])
        shown[b] = rng.choice(of_digit[digit])
        corners[:, b] = _corners(rng, ROUTES[route])
        for t, (row, column) in enumerate(corners[:, b]):
            frames[t, b, row : row + 8, column : column + 8] = table[shown[b], :64].reshape(8, 8) / 16
        captions.append(caption_of(digit, ROUTES[route]))
    ground, contrast = rng.uniform(0, 0.3, (number, 1, 1)), rng.uniform(0.5, 1, (number, 1, 1))
    frames = ground + (1 - ground) * contrast * frames + NOISE * rng.standard_normal(frames.shape)
    return Clips(frames.clip(0, 1).astype(np.float32), tuple(captions), unseen, corners, shown)


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
