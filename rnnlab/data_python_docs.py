"""Python's own documentation as text: what `help()` knows about the language, in each standard library."""

import hashlib
import importlib
import platform
import re
from dataclasses import dataclass

from rnnlab.ngrams import NGrams
from rnnlab.shipped import Baseline, Dataset
from rnnlab.texts import Alphabet

__all__ = ["Documents", "python_docs", "shared_words"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
# The text is another in each release of Python: these say whether it is one of the kind that this was written for.
TOPICS, CHARACTERS = (60, 100), (400_000, 800_000)
RUN = 8  # words: so long a run of equal words in two paragraphs is no accident
PART, LARGE = 0.11, 0.05  # shares of all characters: of a part at least; of a text that is for training only


@dataclass(frozen=True)
class Documents:
    """Hold texts with their names.

    Args:
        names, texts: tuples of B strings.

    >>> Documents(("if", "for"), ("An if.", "A for.")).text
    'An if.\\n\\nA for.\\n\\n'
    """

    names: tuple
    texts: tuple

    def __len__(self):
        """Return B, the number of texts."""
        return len(self.texts)

    def __getitem__(self, b):
        """Return text b."""
        return self.texts[b]

    @property
    def text(self):
        """Return all of them as one stream of characters, an empty line behind each."""
        return "".join(text + "\n\n" for text in self.texts)


def python_docs():
    """Load the English documentation of Python's language, `pydoc_data.topics`: `Documents`, one for each topic.

    Much of it stands there twice: the chapter "compound" holds the topics "if", "for" and others as they are. Topics
    are therefore taken from the longest on, and of the next ones only paragraphs that are new: less than half of their
    runs of eight words have been in another topic (`shared_words`). What is left of a topic is kept if it has at least
    200 characters. Then topics over 5% of all characters are there to train; the others, in an order that depends on
    their names alone, fill `test`, then `validation` up to 11%, and then go to `train`. Each is whole in one part.

    `classes` are the characters that occur at least five times in `train`, after the sign "�" that stands for all
    others in all parts.

    Raises:
        ModuleNotFoundError: this Python was installed without its documentation.
        ValueError: the text has far more or fewer topics or characters than those of Python 3.11 to 3.13.
    """
    topics = _topics()
    characters = sum(map(len, topics.values()))
    for what, got, (low, high) in (("topics", len(topics), TOPICS), ("characters", characters, CHARACTERS)):
        if not low <= got <= high:
            raise ValueError(f"expected {low:,} to {high:,} {what} in pydoc_data.topics, got {got:,}: another Python?")
    train, validation, test = _parts(_without_repeats(topics))
    symbols = (UNKNOWN, *Alphabet.of(train.texts, at_least=5).symbols)
    parts = [_with_symbols(part, symbols) for part in (train, validation, test)]
    trigrams = NGrams(3, symbols).learn(parts[0].text)
    return Dataset(
        name="python_docs",
        features=("the characters of a topic of Python's documentation",),
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        source=f"pydoc_data.topics of Python {platform.python_version()}, SHA-256 {_digest(topics)}",
        licence="Python Software Foundation License Version 2",
        baseline=Baseline(
            "trigrams of characters with interpolated Kneser-Ney smoothing",
            "bits per character",
            float(trigrams.bits(parts[1].text).mean()),
        ),
        classes=symbols,
    )


def _topics():
    """Return name -> text, imported only now."""
    try:
        return importlib.import_module("pydoc_data.topics").topics
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "expected pydoc_data.topics, which is part of the standard library: this Python was installed without it; "
            "on Debian it is in libpython3-stdlib"
        ) from None


def shared_words(paragraph, seen):
    """Return the share of a paragraph's runs of eight words that are in a set of such runs.

    >>> shared_words("One two three four five six seven eight nine.", runs("Two three four five six seven eight, nine"))
    0.5
    """
    own = runs(paragraph)
    return len(own & seen) / len(own)


def runs(paragraph):
    """Return the runs of eight words of a paragraph as a set; a shorter paragraph is one run."""
    words = re.findall(r"\w+", paragraph.lower()) or [paragraph.strip()]
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)} or {tuple(words)}


def paragraphs(text):
    """Return the paragraphs of a text: what stands between empty lines."""
    return [part for part in re.split(r"\n[ \t]*\n", text.strip("\n")) if part.strip()]


def _without_repeats(topics):
    """Return name -> text of the topics, from the longest on, with the paragraphs that no other one had before."""
    kept, seen = {}, set()
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        new = [part for part in paragraphs(topics[name]) if shared_words(part, seen) < 0.5]
        seen |= set().union(*map(runs, new))
        if len(text := "\n\n".join(new)) >= 200:
            kept[name] = text
    return kept


def _parts(texts):
    """Return Documents to train, to validate and to test."""
    wanted = PART * sum(map(len, texts.values()))
    chosen, filled = {}, {"test": 0, "validation": 0}
    for name in sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest()):
        open_parts = [part for part, number in filled.items() if number < wanted]
        if open_parts and len(texts[name]) <= LARGE / PART * wanted:
            chosen[name] = open_parts[0]
            filled[open_parts[0]] += len(texts[name])
    for part in ("train", "validation", "test"):
        names = tuple(sorted(name for name in texts if chosen.get(name, "train") == part))
        yield Documents(names, tuple(texts[name] for name in names))


def _with_symbols(part, symbols):
    """Return a part in which each character that is not among the symbols is the sign for them."""
    strange = {ord(character): UNKNOWN for character in set(part.text) - set(symbols)}
    return Documents(part.names, tuple(text.translate(strange) for text in part.texts))


def _digest(topics):
    """Return the SHA-256 of all topics."""
    return hashlib.sha256(repr(sorted(topics.items())).encode()).hexdigest()


LOADERS = {"python_docs": python_docs}
