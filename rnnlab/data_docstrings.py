"""Docstrings of installed packages: what stands below the first line, and the first line as its summary."""

import ast
import importlib.metadata
import re
import warnings
from collections import Counter
from functools import cache

from rnnlab.rouge import rouge_n
from rnnlab.shipped import Baseline, Dataset, digest_checked, folder, part_of
from rnnlab.texts import Pairs

__all__ = ["docstrings", "first_sentence"]

# Each package with the SHA-256 of its pairs in this version.
PACKAGES = {
    "numpy": ("numpy", "2.4.6", "e417ea4f53f02ac7608adda3b2c5f675b66c5748c29ffe12853aedf4323ff0e5"),
    "pandas": ("pandas", "3.0.6", "77470171457a703364c87c5bcd427b57f0387a97b846785eb2aae2157022dc2e"),
    "scipy": ("scipy", "1.17.1", "a249accc325b948ff0ecff37e46e6cea287536582f6cacb804c50d1cd5bee54b"),
    "sklearn": ("scikit-learn", "1.9.1", "abab85b9f2d24c4f3503cab90ab0586b9951a53f6ae95b4039cd6e5d7bc0a0bd"),
}
END_OF_PROSE = re.compile(r"\n[^\n]+\n[ \t]*[-=~]{3,}|\n[ \t]*(?:\.\. |>>>|[*-] |:\w+)|::[ \t]*\n")
BODY, SUMMARY = (12, 100), (3, 16)  # words
ALIKE = 0.3  # the share of three-word sequences from which two texts count as one text with other names
# numpy.distutils is there up to Python 3.11 only; the others are copies of foreign packages, and tests.
LEFT_OUT = {
    "tests",
    "distutils",
    "externals",
    "_lib",
    "_vendored",
    "array_api_extra",
    "array_api_compat",
}


def docstrings():
    """Load docstrings of NumPy, pandas, SciPy and scikit-learn: `Pairs` of the prose below the first line, and it.

    The prose ends where the first section or example begins; it has 12 to 100 words, the first line 3 to 16. A text
    that occurs twice is taken once. A file of source code goes whole to one part: 8 of 10 to train, by a number made
    from its name, one to validate, one to test. Siblings, such as a function for each kind of polynomial, have files of
    their own and nearly the same words: a prose that shares 3 of 10 sequences of three words or more with one of an
    earlier part is left out of the later one. It takes some seconds, since the packages' source is parsed.

    Raises:
        ValueError: a package of the version named here has other docstrings than it should. Another version is taken as
            it is: `source` names the versions found.
    """
    found, seen = [], set()
    versions = []
    for package, (name, expected, sha) in PACKAGES.items():
        pairs = _pairs(folder(package))
        version = importlib.metadata.version(name)
        versions.append(f"{name} {version}")
        if version == expected:
            digest_checked(f"docstrings of {name} {version}", pairs, sha)
        for file, body, summary in pairs:
            if not {body, summary} & seen:
                seen |= {body, summary}
                found.append((part_of(f"{package}/{file}"), body, summary))
    train, validation, test = (Pairs(*zip(*part, strict=True)) for part in _apart(found))
    return Dataset(
        name="docstrings",
        features=("prose of a docstring below its first line", "its first line"),
        train=train,
        validation=validation,
        test=test,
        source="the docstrings of " + ", ".join(versions),
        licence="BSD 3-Clause, each package its own",
        baseline=Baseline(
            "the first sentence of the prose",
            "ROUGE-1, F1 score",
            sum(rouge_n(first_sentence(body), summary) for body, summary in validation) / len(validation),
        ),
    )


def first_sentence(text):
    """Return a text up to the first mark that ends a sentence.

    >>> first_sentence("Uses scipy.fft. The last axis is kept.")
    'Uses scipy.fft.'
    """
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


@cache
def _pairs(root):
    """Return file, prose and first line of each docstring of a package that has both, as tuples."""
    found = []
    for file in sorted(root.rglob("*.py")):
        inner = file.relative_to(root)
        if not LEFT_OUT & set(inner.parts):
            for text in _docstrings(file.read_bytes()):
                summary, _, rest = text.partition("\n\n")
                body, summary = (" ".join(part.split()) for part in (END_OF_PROSE.split("\n" + rest)[0], summary))
                if _fits(body, BODY) and _fits(summary, SUMMARY) and summary.endswith("."):
                    found.append((inner.as_posix(), body, summary))
    return found


def _docstrings(source):
    """Return the docstrings of a source, in its order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of backslashes in others' code
        nodes = [ast.parse(source)]
    for node in nodes:  # statements only, as it grows: ast.walk would visit ten times as many nodes
        for name in ("body", "handlers", "orelse", "finalbody"):
            nodes += getattr(node, name, [])
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    return [text for node in nodes if isinstance(node, kinds) and (text := ast.get_docstring(node))]


def _apart(found):
    """Return (prose, first line) of the three parts, without those too much like one of an earlier part."""
    parts, holders, grams = ([], [], []), {}, []
    for number, body, summary in sorted(found, key=lambda one: one[0]):
        own = three_words(body)
        shared = Counter(n for gram in own for n in holders.get(gram, ()) if grams[n][0] < number)
        if all(count < ALIKE * len(own | grams[n][1]) for n, count in shared.items()):
            for gram in own:
                holders.setdefault(gram, []).append(len(grams))
            grams.append((number, own))
            parts[number].append((body, summary))
    return parts


def three_words(text):
    """Return the set of the sequences of three words in a text, in small letters.

    >>> sorted(three_words("One, two, three and one"))
    [('one', 'two', 'three'), ('three', 'and', 'one'), ('two', 'three', 'and')]
    """
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def _fits(text, words):
    """Return whether a text has that many words, from the least to the most."""
    return words[0] <= len(re.findall(r"\w+", text)) <= words[1]


LOADERS = {"docstrings": docstrings}
