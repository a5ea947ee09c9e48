"""Problem set 6: its test cells and their points, and mistakes a student would make (see `coursework`)."""

from coursework import faults_of

MANUAL = ("plan-answer", "method-answer", "findings-answer")
POINTS = {
    "hidden-references": 0,
    "prepare-visible-test": 1,
    "prepare-later-test": 1,
    "prepare-constant-test": 1,
    "windows-visible-test": 1,
    "windows-inputs-test": 1,
    "windows-answers-test": 2,
    "persistence-visible-test": 1,
    "persistence-hidden-test": 1,
    "interval-visible-test": 1,
    "interval-hidden-test": 1,
    "rate-visible-test": 1,
    "rate-mean-test": 1,
    "rate-diverged-test": 1,
    "fit-visible-test": 1,
    "fit-beats-test": 3,
    "fit-seeded-test": 1,
    "fit-samples-test": 1,
    "fit-days-test": 1,
    "results-complete-test": 1,
    "results-chosen-test": 1,
    "results-baseline-test": 1,
    "results-reproduced-test": 1,
    "plan-answer": 4,
    "method-answer": 6,
    "findings-answer": 10,
}

STATISTICS = "mean, std = train.mean(axis=0), train.std(axis=0)"
RATE = """sound = {rate: np.mean(runs) for rate, runs in errors.items() if np.all(np.isfinite(runs))}
    return min(sound, key=sound.get)"""
ANSWERS = "series[length + horizon - 1 :, target]"
FAULTS = [
    *faults_of(
        "prepare",
        (
            "statistics of all days",
            STATISTICS,
            "days = np.concatenate([train, later])\n    mean, std = days.mean(axis=0), days.std(axis=0)",
            "visible later constant",
        ),
        (
            "later days by their own statistics",
            "(later - mean) / std",
            "(later - later.mean(axis=0)) / np.where(later.std(axis=0) == 0, 1, later.std(axis=0))",
            "later constant",
        ),
        ("constant column", "    std = np.where(std == 0, 1, std)\n", "", "constant"),
        ("variance", "train.std(axis=0)", "train.var(axis=0)", "visible later"),
        (
            "one mean for all columns",
            STATISTICS,
            "mean, std = train.mean() + 0 * train[0], train.std() + 0 * train[0]",
            "visible later constant",
        ),
        ("later days left in their units", "(later - mean) / std", "later", "later constant"),
    ),
    *faults_of(
        "windows",
        ("answer inside the window", ANSWERS, "series[length - 1 : len(series) - horizon, target]", "visible answers"),
        ("horizon from the first day", ANSWERS, "series[horizon : horizon + n, target]", "visible answers"),
        ("horizon 1 always", ANSWERS, "series[length : length + n, target]", "answers"),
        ("another column", "horizon - 1 :, target]", "horizon - 1 :, 0]", "answers"),
        (
            "last window dropped",
            "n = len(series) - length - horizon + 1",
            "n = len(series) - length - horizon",
            "visible inputs",
        ),
        (
            "windows that do not overlap",
            "np.arange(n)[:, None] + ",
            "np.arange(0, n, length)[:, None] + ",
            "visible inputs",
        ),
        ("windows reversed in time", "+ np.arange(length)", "+ np.arange(length)[::-1]", "visible inputs"),
        (
            "horizon forgotten in the count",
            "n = len(series) - length - horizon + 1",
            "n = len(series) - length",
            "inputs",
        ),
    ),
    *faults_of(
        "persistence",
        ("first day of the window", "x[:, -1, target]", "x[:, 0, target]", "visible hidden"),
        (
            "root forgotten",
            "np.sqrt(np.mean((x[:, -1, target] - y) ** 2))",
            "np.mean((x[:, -1, target] - y) ** 2)",
            "visible hidden",
        ),
        ("first column", "x[:, -1, target]", "x[:, -1, 0]", "visible hidden"),
        (
            "mean absolute error",
            "np.sqrt(np.mean((x[:, -1, target] - y) ** 2))",
            "np.mean(np.abs(x[:, -1, target] - y))",
            "visible hidden",
        ),
        ("next answer for the last day", "x[:, -1, target] - y", "y[:-1] - y[1:]", "visible hidden"),
    ),
    *faults_of(
        "interval",
        ("spread of the values, not of their mean", " / np.sqrt(n)", "", "visible hidden"),
        ("divided by n", ", ddof=1", "", "visible hidden"),
        ("normal quantile", "T95[n]", "1.96", "visible hidden"),
        ("quantile of n - 1", "T95[n]", "T95[max(n - 1, 2)]", "hidden"),
        ("half width for the ends", "mean, mean - half, mean + half", "mean, half, half", "visible hidden"),
    ),
    *faults_of(
        "rate",
        ("luckiest seed", RATE, "return min(errors, key=lambda rate: min(errors[rate]))", "mean diverged"),
        ("nan ignored", RATE, "return min(errors, key=lambda rate: np.nanmean(errors[rate]))", "diverged"),
        ("highest error", "return min(", "return max(", "visible mean diverged"),
        ("error for rate", "return min(sound, key=sound.get)", "return min(sound.values())", "visible mean diverged"),
        ("nan compared", RATE, "return min(errors, key=lambda rate: np.mean(errors[rate]))", "diverged"),
        ("median", "np.mean(runs)", "np.min(runs)", "mean"),
    ),
    *faults_of(
        "fit",
        ("answers not shuffled along", "(model(x[i]) - y[i])", "(model(x[i]) - y[: len(i)])", "visible beats"),
        ("seed ignored", "    torch.manual_seed(seed)\n", "", "seeded"),
        ("seed fixed", "torch.manual_seed(seed)", "torch.manual_seed(1)", "seeded"),
        (
            "model made before the seed is set",
            "torch.manual_seed(seed)\n    model, losses = Forecaster(x.shape[2]), []",
            "model, losses = Forecaster(x.shape[2]), []\n    torch.manual_seed(seed)",
            "seeded",
        ),
        ("far too few updates", "for _ in range(10):", "for _ in range(1):", "visible beats"),
    ),
    *faults_of(
        "fit",
        (
            "batch_first forgotten",
            "nn.GRU(D, 16, batch_first=True), nn.Linear(16, 1)",
            "nn.GRU(D, 16), nn.Linear(16, 1)",
            "samples days",
        ),
        ("column of answers against a row", "(x)[0][:, -1])[:, 0]", "(x)[0][:, -1])", "visible beats"),
        ("first state read", "self.cell(x)[0][:, -1]", "self.cell(x)[0][:, 0]", "beats days"),
        ("last day only", "self.cell(x)[0][:, -1]", "self.cell(x[:, -1:])[0][:, -1]", "days"),
        (
            "dropout active in predict",
            "self.cell(x)[0][:, -1]",
            "nn.functional.dropout(self.cell(x)[0][:, -1], 0.2)",
            "samples",
        ),
        part="model",
    ),
    *faults_of(
        "fit",
        (
            "forecasts normalized over the batch",
            "dtype=torch.float32)).detach()",
            "dtype=torch.float32)).detach() - model(torch.tensor(x, dtype=torch.float32)).detach().mean()",
            "beats samples",
        ),
        part="predict",
    ),
]

# `results` gives numbers that a student typed: wrong ones are made from right ones, {entry: value}.
RESULTS = [
    ("four seeds", lambda r: {name: r[name][:4] for name in ("seeds", "validation", "test")}, "complete"),
    ("one seed five times", lambda r: {"seeds": [10] * 5}, "complete"),
    ("one pilot seed", lambda r: {"rates": {rate: errors[:1] for rate, errors in r["rates"].items()}}, "complete"),
    ("two rates", lambda r: {"rates": {rate: r["rates"][rate] for rate in (0.003, 0.03)}}, "complete chosen"),
    (
        "best rate at the end of the grid",
        lambda r: {"rates": {0.1: [9.0, 9.0]} | {rate: r["rates"][rate] for rate in (0.003, 0.03)}},
        "chosen",
    ),
    ("another rate than the best", lambda r: {"chosen": 0.03}, "chosen reproduced"),
    (
        "not in degrees",
        lambda r: {"test": [error / 5 for error in r["test"]], "baseline": r["baseline"] / 5},
        "baseline reproduced",
    ),
    ("squared errors", lambda r: {"test": [error**2 for error in r["test"]]}, "reproduced"),
    ("validation for test", lambda r: {"test": r["validation"]}, "reproduced"),
    ("a neighbour's column", lambda r: {"baseline": 4.2, "test": [4.1] * 5}, "baseline reproduced"),
    ("baseline of one day ahead", lambda r: {"baseline": 1.9}, "baseline"),
]
