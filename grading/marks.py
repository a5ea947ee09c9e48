"""What grading brings: marks with their messages, and the words in which a message tells an input."""

from dataclasses import asdict, dataclass, field

import numpy as np

from grading import wire

MAX_MESSAGE = 1500


@dataclass
class Mark:
    """What a graded cell got: None points wait for a person. The message is for the student."""

    points: float | None
    out_of: float
    message: str = ""


@dataclass
class Report:
    """All that grading one submission brought."""

    student: str
    marks: dict[str, Mark] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # on the submission as a whole
    cell_notes: dict[str, str] = field(default_factory=dict)  # on solution cells
    seconds: float = 0.0

    def lost(self) -> set[str]:
        """Return the cells that did not get all their points from the tests."""
        return {name for name, mark in self.marks.items() if mark.points is not None and mark.points < mark.out_of}

    def to_dict(self) -> dict:
        """Return the report as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict) -> "Report":
        """Return the report that `to_dict` wrote."""
        marks = {name: Mark(**mark) for name, mark in stored["marks"].items()}
        return cls(**stored | {"marks": marks})


def described(value, room: int = 60) -> str:
    """Return a value in words that fit into a sentence."""
    value = wire.as_array(value) if wire.is_tensor(value) else value
    if isinstance(value, np.ndarray):
        if value.size > 12:
            return f"an array of shape {value.shape}"
        return " ".join(np.array2string(value, precision=4, separator=", ").split())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {described(item)}" for key, item in list(value.items())[:6]) + "}"
    if isinstance(value, list | tuple):
        items = ", ".join(described(item) for item in value[:6]) + (", ..." if len(value) > 6 else "")
        return f"[{items}]" if isinstance(value, list) else f"({items})"
    text = f"{value:.6g}" if isinstance(value, float | np.floating) else repr(value)
    return text if len(text) <= room else text[:room] + "..."


def described_call(name, arguments, positional, named) -> str:
    """Return a call as it could be written, shortened."""
    names = [*arguments[: len(positional)], *[""] * (len(positional) - len(arguments))]
    words = [f"{key}={described(value)}".lstrip("=") for key, value in zip(names, positional, strict=True)]
    words += [f"{key}={described(value)}" for key, value in named.items()]
    text = f"{name}({', '.join(words)})"
    return text if len(text) <= 400 else text[:400] + "..."
