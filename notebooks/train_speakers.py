"""Train an LSTM to tell who speaks: nine speakers, sequences of unlike length. A script to copy and change.

    python train_speakers.py --out run                   # train; the best network and metrics.json are in run/
    python train_speakers.py --out run --resume          # go on after Ctrl-C or a crash, as if nothing had been
    python train_speakers.py --out run --resume --test   # at the very end, once: look at the test set

Needs PyTorch, NumPy, and `rnnlab.datasets` for the data. To use it for data of your own, change `load_data`.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's products are repeatable only with this

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

FORMAT = "train_speakers 1"


@dataclasses.dataclass(frozen=True)
class Config:
    """Hold everything that decides a run, but for where it runs and for how long.

    Attributes:
        hidden, layers, bidirectional: the size of the LSTM.
        dropout: share of its final states (and of what goes from layer to layer) that training sets to 0.
        lr, batch_size: of Adam.
        max_norm: the global norm at which gradients are clipped.
        patience: epochs without a lower validation loss after which training ends.
        seed: of the first weights, the order of the samples and dropout.
    """

    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    lr: float = 0.01
    batch_size: int = 16
    max_norm: float = 1.0
    patience: int = 10
    seed: int = 0

    def __post_init__(self):
        for name in ("hidden", "layers", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        for name in ("lr", "max_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout from 0 to below 1, got {self.dropout}")


# ---------------------------------------------------------------- data


def load_data():
    """Return dict part -> list of (frames, label), frames a float tensor (T, D); and D and the number of classes."""
    from rnnlab import datasets

    data = datasets.load("japanese_vowels")
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    pairs = {
        name: [(torch.tensor(part[n], dtype=torch.float32), int(part.labels[n])) for n in range(len(part))]
        for name, part in parts.items()
    }
    return pairs, data.train.input_size, data.train.classes


def collate(samples):
    """Return a batch of samples: frames padded to (B, T, D), lengths (B,) on the CPU as packing wants, labels (B,)."""
    frames, labels = zip(*samples, strict=True)
    lengths = torch.tensor([len(one) for one in frames])
    return pad_sequence(frames, batch_first=True), lengths, torch.tensor(labels)


# ---------------------------------------------------------------- model


class SpeakerNet(nn.Module):
    """Read frames by an LSTM, and name the speaker from the state after each sequence's own last frame."""

    def __init__(self, input_size, classes, config):
        super().__init__()
        between = config.dropout if config.layers > 1 else 0.0  # nn.LSTM warns where there is no layer after it
        self.lstm = nn.LSTM(
            input_size,
            config.hidden,
            config.layers,
            batch_first=True,
            dropout=between,
            bidirectional=config.bidirectional,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden * (2 if config.bidirectional else 1), classes)

    def forward(self, x, lengths):
        """Return scores (B, C) for frames x (B, T, D), of which the first `lengths` (B,) are real."""
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)  # (layers * directions, B, H), each at its own last frame
        last = torch.cat([h[-2], h[-1]], dim=1) if self.lstm.bidirectional else h[-1]
        return self.head(self.dropout(last))


# ---------------------------------------------------------------- one epoch


def train_epoch(model, loader, optimizer, max_norm, device):
    """Make one pass over the training set; return its mean loss and the gradient's norm at each update.

    Raises:
        FloatingPointError: a gradient is NaN or infinite; the weights are still those from before it.
    """
    model.train()
    total, norms = 0.0, []
    for x, lengths, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x.to(device), lengths), labels.to(device))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()  # returned as it was before the clip
        if not math.isfinite(norm):
            raise FloatingPointError(f"the gradient's norm is {norm}; try a smaller lr, and look for NaN in the data")
        optimizer.step()
        total += loss.item() * len(labels)
        norms.append(norm)
    return total / len(loader.dataset), norms


@torch.no_grad()
def evaluate(model, loader, device):
    """Return mean loss and accuracy without dropout and without a change to the model."""
    was_training = model.training
    model.eval()
    total, right = 0.0, 0
    for x, lengths, labels in loader:
        scores, labels = model(x.to(device), lengths), labels.to(device)
        total += F.cross_entropy(scores, labels, reduction="sum").item()
        right += (scores.argmax(dim=1) == labels).sum().item()
    model.train(was_training)
    return total / len(loader.dataset), right / len(loader.dataset)


# ---------------------------------------------------------------- a run that can stop and go on


class Run:
    """Hold a run: model, optimizer, random states, and what was best. It is saved after every epoch.

    Args:
        config: Config.
        out: the folder for checkpoint.pt and metrics.json.
        data: what `load_data` returns.
        device: torch.device.
    """

    def __init__(self, config, out, data, device):
        self.config, self.out, self.device = config, Path(out), device
        self.parts, input_size, classes = data
        torch.manual_seed(config.seed)  # of the CPU and every CUDA device
        self.model = SpeakerNet(input_size, classes, config).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        self.order = torch.Generator().manual_seed(config.seed)  # of the samples: apart, so that dropout moves nothing
        self.history, self.best, self.seconds, self.saved = [], None, 0.0, 0

    @property
    def checkpoint(self):
        return self.out / "checkpoint.pt"

    def loader(self, part):
        """Return batches of a part; those of the training set in a new order each time."""
        shuffled = {"shuffle": True, "generator": self.order} if part == "train" else {}
        return DataLoader(self.parts[part], self.config.batch_size, collate_fn=collate, **shuffled)

    @property
    def waited(self):
        """Return the number of epochs since the best one."""
        return len(self.history) - self.best["epoch"] if self.best else 0

    def train(self, epochs, say=print):
        """Go on until `epochs` in all, or until the validation loss has not fallen for `patience` of them."""
        while len(self.history) < epochs and self.waited < self.config.patience:
            began = time.perf_counter()
            loss, norms = train_epoch(
                self.model, self.loader("train"), self.optimizer, self.config.max_norm, self.device
            )
            validation_loss, accuracy = evaluate(self.model, self.loader("validation"), self.device)
            row = {"loss": loss, "validation_loss": validation_loss, "validation_accuracy": accuracy, "norms": norms}
            self.history.append(row)
            self.seconds += time.perf_counter() - began
            if self.best is None or validation_loss < self.best["validation_loss"]:
                weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
                self.best = {"epoch": len(self.history), "validation_loss": validation_loss, "model": weights}
            self.save()
            clipped = sum(norm > self.config.max_norm for norm in norms) / len(norms)
            say(
                f"epoch {len(self.history):3d}  loss {loss:.4f}  validation {validation_loss:.4f}, {accuracy:.1%} right"
                f"  clipped {clipped:.0%}{'  *' if self.waited == 0 else ''}"
            )

    def result(self, test=False):
        """Return what came out, of the best epoch's network; with test=True also its accuracy on the test set."""
        best = self.history[self.best["epoch"] - 1]
        result = {
            "config": dataclasses.asdict(self.config), "device": str(self.device), "torch": torch.__version__,
            "seconds": round(self.seconds, 2), "epochs": len(self.history), "best_epoch": self.best["epoch"],
            "validation_loss": best["validation_loss"], "validation_accuracy": best["validation_accuracy"],
            "history": self.history,
        }  # fmt: skip
        if test:
            last = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.model.load_state_dict(self.best["model"])
            result["test_loss"], result["test_accuracy"] = evaluate(self.model, self.loader("test"), self.device)
            self.model.load_state_dict(last)
        return result

    def save(self):
        """Write the checkpoint, all of it or nothing."""
        state = {
            "format": FORMAT, "config": dataclasses.asdict(self.config), "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "best": self.best, "history": self.history,
            "seconds": self.seconds, "order": self.order.get_state(), "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }  # fmt: skip
        write_whole(self.checkpoint, lambda file: torch.save(state, file))
        self.saved = len(self.history)

    def load(self):
        """Go back to the checkpoint, with all random states.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, another program's, or of other settings.
        """
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if state["format"] != FORMAT:
                raise ValueError(f"its format is {state['format']!r}")
        except FileNotFoundError:
            raise FileNotFoundError(f"expected a checkpoint to resume, found no {self.checkpoint}") from None
        except Exception as error:
            raise ValueError(f"expected a checkpoint of this script, got {self.checkpoint}: {error}") from error
        ours = dataclasses.asdict(self.config)
        other = {name: state["config"].get(name) for name in ours if state["config"].get(name) != ours[name]}
        if other:
            wanted = {name: ours[name] for name in other}
            raise ValueError(f"the checkpoint is of {other}, you ask for {wanted}; give its settings or another --out")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.history, self.seconds = state["best"], state["history"], state["seconds"]
        self.saved = len(self.history)
        self.order.set_state(state["order"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])


def write_whole(path, write):
    """Write a file beside its place and move it there, so that a crash or Ctrl-C leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:  # Ctrl-C too
        beside.unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------- the command


def choose_device(name):
    """Return the torch.device of a name; "auto" takes CUDA where there is some."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"expected a device that is there, got {name}: this PyTorch sees no CUDA; try --device cpu")
    return device


def parse(arguments):
    """Return the options of the command line; each setting of Config is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and metrics.json")
    parser.add_argument("--epochs", type=int, default=100, help="at most this many in all (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--test", action="store_true", help="look at the test set: once, when all is decided")
    parser.add_argument("--quiet", action="store_true", help="print no line for each epoch")
    for field in dataclasses.fields(Config):
        kind = {"action": "store_true"} if field.type is bool else {"type": field.type, "default": field.default}
        parser.add_argument(f"--{field.name.replace('_', '-')}", help=f"default: {field.default}", **kind)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run from a shell; return 0 if all went well, 1 if not, 2 for bad settings, 130 after Ctrl-C."""
    options, run = parse(arguments), None
    torch.use_deterministic_algorithms(True)  # an error instead of a result that cannot be repeated
    try:
        config = Config(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Config)})
        if options.epochs < 1:
            raise ValueError(f"expected epochs of at least 1, got {options.epochs}")
        run = Run(config, options.out, load_data(), choose_device(options.device))
        if options.resume:
            run.load()
        elif run.checkpoint.exists():
            raise FileExistsError(f"{run.checkpoint} is there already: --resume goes on, another --out starts afresh")
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"train_speakers: {error}", file=sys.stderr)
        return 2
    try:
        run.train(options.epochs, (lambda line: None) if options.quiet else print)
    except KeyboardInterrupt:
        how = "go on with --resume" if run.saved else "nothing was saved yet"
        print(f"\nstopped; {run.saved} whole epochs are in {run.out}: {how}", file=sys.stderr)
        return 130
    except (FloatingPointError, OSError) as error:
        print(f"train_speakers: epoch {len(run.history) + 1}: {error}", file=sys.stderr)
        return 1
    result = run.result(options.test)
    write_whole(run.out / "metrics.json", lambda file: file.write(json.dumps(result, indent=1).encode()))
    print(f"best epoch {result['best_epoch']}: {result['validation_accuracy']:.1%} of the validation set right", end="")
    print(f", {result['test_accuracy']:.1%} of the test set" if options.test else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
