"""Dates and numbers in English, German, French and Chinese: pairs that can be made on any machine."""

import importlib.metadata
import itertools
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from rnnlab.analogies import Analogies, words
from rnnlab.shipped import Baseline, Dataset, digest_checked, folder
from rnnlab.texts import Pairs

__all__ = ["Translations", "analogies", "beyond_dates", "chinese_number", "dates", "written"]

# The SHA-256 of the pairs that these versions write.
VERSIONS, SHA = (
    {"babel": "2.18.0", "num2words": "0.5.14"},
    "bd81a75855013670334cc87f4c4c2073f57dc6851b413261f3175c57dff88a01",
)
DIRECTIONS = (("en", "de"), ("en", "fr"), ("en", "zh"), ("de", "en"), ("fr", "en"), ("zh", "en"))
FIRST, LAST, UNSEEN = 1600, 2099, range(1970, 1980)  # years
# Pairs of each direction: full, long and medium dates, years in words, numbers in words.
SIZES = {
    "train": (450, 450, 300, 330, 670),
    "validation": (24, 24, 18, 24, 30),
    "test": (48, 48, 36, 48, 60),
    "decade": (20, 20, 0, 10, 0),
    "thousands": (0, 0, 0, 0, 50),
}
KINDS = ("full date", "long date", "medium date", "year in words", "number in words")
DIGITS = "〇一二三四五六七八九"


@dataclass(frozen=True)
class Translations(Pairs):
    """Hold pairs of texts of which it is known what they are.

    Args:
        sources, targets: as for `Pairs`; a source begins with the language wanted, as in "<de> 1 May 1985".
        directions: B pairs of languages, from and to, such as ("en", "de").
        kinds: B texts, of `KINDS`.
    """

    directions: tuple
    kinds: tuple

    def take(self, chosen):
        """Return some of them, by their numbers."""
        columns = (self.sources, self.targets, self.directions, self.kinds)
        return Translations(*(tuple(column[b] for b in chosen) for column in columns))


def dates():
    """Load `Translations` of dates and numbers: from English into German, French and Chinese, and back.

    13,200 pairs to train, 720 to validate, 1,440 to test. Dates are of the years 1600 to 2099, as CLDR writes them in
    full, long or, out of English, medium form. English full and medium dates are American, the long ones British:
    else "May 5, 1985" would be both long and medium, which German tells apart. Years and the numbers from 1 to 999 are
    in words, by num2words; Chinese ones by `chinese_number`, years digit by digit.

    Each day, each year in words and each number in words is in one part only, whatever its form and language. No part
    has a year from 1970 to 1979, or a number of four digits: see `beyond_dates`.

    Raises:
        ValueError: the versions of babel and num2words named here write other pairs than they should. Other versions
            are taken as they are: `source` names those found.
    """
    parts, versions = _made()
    known = analogies(parts["train"])
    return Dataset(
        name="dates",
        features=("a date or a number, behind the language wanted", "the same in that language"),
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        source=f"CLDR's patterns and names in {versions[0]}; {versions[1]}; Chinese numbers by this code",
        licence="babel BSD 3-Clause, with CLDR under Unicode 3.0; num2words LGPL",
        baseline=Baseline(
            "the most similar known pair, with differing words replaced by a learned dictionary",
            "share of targets met exactly",
            float(np.mean([known.translate(source) == target for source, target in parts["validation"]])),
        ),
    )


def beyond_dates():
    """Return what no part of `dates` has.

    Returns:
        dict of `Translations`: "decade", days and years from 1970 to 1979; "thousands", numbers from 2,100 to 9,999
        with up to 40 characters in both languages. Words for a thousand do occur in `dates`, as in "two thousand and
        five", a year.
    """
    parts, _ = _made()
    return {name: parts[name] for name in ("decade", "thousands")}


def analogies(train):
    """Return the dictionary baseline, `Analogies`, that has learned from some `Translations`.

    One that is told how German glues the words of a number. The network is not.
    """
    return Analogies(
        train,
        group=lambda source: source[:4],
        words=lambda source: words(source, parts=source[:4] == "<en>"),
    )


def chinese_number(number):
    """Write a whole number from 1 to 9,999 in Chinese.

    >>> [chinese_number(number) for number in (10, 17, 105, 110, 2026, 9080)]
    ['十', '十七', '一百零五', '一百一十', '二千零二十六', '九千零八十']
    """
    if not 1 <= number <= 9999:
        raise ValueError(f"expected a number from 1 to 9999, got {number!r}")
    text = ""
    for digit, unit in zip(f"{number:04d}", ("千", "百", "十", ""), strict=True):
        text += DIGITS[int(digit)] + unit if digit != "0" else "零"
    text = text.strip("零")  # inside, noughts in a row are said once
    while "零零" in text:
        text = text.replace("零零", "零")
    return text.removeprefix("一") if text.startswith("一十") else text


def written(value, kind, language):
    """Return a day, year or number as a language writes it.

    Args:
        value: a `datetime.date`, or a whole number.
        kind: one of `KINDS`.
        language: "en", "de", "fr" or "zh".

    >>> written(2026, "year in words", "de"), written(date(2026, 11, 26), "full date", "zh")
    ('zweitausendsechsundzwanzig', '2026年11月26日星期四')
    """
    from babel.dates import format_date  # some 0.2 s, and needed here alone
    from num2words import num2words

    if kind.endswith("date"):
        form = kind.split()[0]
        places = {"en": "en_GB" if form == "long" else "en_US"}
        return format_date(value, form, locale=places.get(language, language))
    if language == "zh":
        return "".join(DIGITS[int(digit)] for digit in str(value)) + "年" if "year" in kind else chinese_number(value)
    return num2words(value, lang=language, to="year" if "year" in kind else "cardinal")


def _values():
    """Return for each part its days, years and numbers, in an order of chance."""
    rng = np.random.default_rng(0)
    start, end = date(FIRST, 1, 1), date(LAST, 12, 31)
    days = [start + timedelta(int(day)) for day in rng.permutation((end - start).days + 1)]
    numbers = [int(number) for number in rng.permutation(np.arange(1, 1000))]
    years = [int(year) for year in rng.permutation(np.arange(FIRST, LAST + 1))]
    old = [day for day in days if day.year in UNSEEN], [year for year in years if year in UNSEEN], []
    days = [day for day in days if day.year not in UNSEEN]
    years = [year for year in years if year not in UNSEEN]
    thousands = [int(number) for number in rng.permutation(np.arange(LAST + 1, 10_000))]
    return rng, {
        "train": (days[:60_000], years[:340], numbers[:700]),
        "validation": (days[60_000:80_000], years[340:400], numbers[700:800]),
        "test": (days[80_000:], years[400:], numbers[800:]),
        "decade": old,
        "thousands": ([], [], thousands),
    }


def _made():
    """Return the parts by name, and the versions of the two packages, checked."""
    versions = []
    for package in VERSIONS:
        folder(package)
        versions.append(f"{package} {importlib.metadata.version(package)}")
    rng, values = _values()
    parts = {name: _drawn(rng, *values[name], sizes) for name, sizes in SIZES.items()}
    if versions == [f"{package} {version}" for package, version in VERSIONS.items()]:
        digest_checked(
            f"pairs of {', '.join(versions)}", [(part.sources, part.targets) for part in parts.values()], SHA
        )
    return parts, versions


def _drawn(rng, days, years, numbers, sizes):
    """Draw pairs of each direction: new days, and years and numbers in a new order."""
    rows, days = [], iter(days)
    for direction in DIRECTIONS:
        for kind, size in zip(KINDS, sizes, strict=True):
            if kind == "medium date" and direction[0] != "en":
                kind = "full date"  # a medium date need not tell how the English one was written
            if kind.endswith("date"):
                every = days  # goes on where the last direction has stopped: each day is taken once
            else:
                own = years if kind == "year in words" else numbers
                every = [own[b] for b in rng.permutation(len(own))]
            fitting = (
                (f"<{direction[1]}> {source}", target, direction, kind)
                for source, target in (
                    tuple(written(value, kind, language) for language in direction) for value in every
                )
                if max(len(source), len(target)) <= 40
            )
            rows += itertools.islice(fitting, size)
    return Translations(*zip(*rows, strict=True))


LOADERS = {"dates": dates}
