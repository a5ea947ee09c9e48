"""The forecasts of lesson 19. Each method is a pair: fit(problem, history, setting) learns from a history, and
forecast(problem, fitted, history) says what comes after one. Both get a history that ends where they stand, and so
cannot see further, whatever they do with it."""

import warnings
from dataclasses import dataclass

import numpy as np
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.deterministic import DeterministicProcess, Fourier
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from tqdm import tqdm

import rnnlab as rl
from rnnlab.datasets import load

WIDTH, BATCH_SIZE, MAX_NORM = 16, 16, 1.0


# ---------------------------------------------------------------- the three problems


@dataclass(frozen=True)
class Problem:
    """Hold a series in its units and say what is asked.

    Attributes:
        series: (n, D). Column 0 is forecast; of the stocks each.
        validation, test: the origins, the last step known, of which forecasts are made.
        refits: every how many origins a method is fitted anew, from all that is known then.
        window: steps that the network reads.
    """

    name: str
    unit: str
    series: np.ndarray
    validation: range
    test: range
    refits: int
    window: int
    period: float

    def answers(self, series=None):
        """Return what comes after each step, (n, answers); NaN where it is not known (yet)."""
        series = self.series if series is None else series
        n, found = len(series), None
        if self.name == "stocks":
            found = np.full((n, 5), np.nan)
            found[:-1] = series[1:]
            known = np.cumsum(~np.isnan(series), axis=0) >= 24  # a stock counts from its 24th return on
            return np.where(known, found, np.nan)
        found = np.full((n, 12 if self.name == "co2" else 1), np.nan)
        for h in range(1, found.shape[1] + 1):
            found[: max(n - h, 0), h - 1] = series[h:, 0]
        return found


def problems():
    """Return the three problems by name."""
    found = {}
    for name, data in (("weather", load("seattle_weather")), ("co2", load("co2")), ("stocks", load("stocks"))):
        series = np.concatenate([data.train, data.validation, data.test]) * data.std + data.mean
        first, second, n = len(data.train), len(data.train) + len(data.validation), len(series)
        unit, refits, window, period = {
            "weather": ("°C", 92, 14, 365.25), "co2": ("ppm", 12, 24, 12.0), "stocks": ("%", 6, 12, 12.0),
        }[name]  # fmt: skip
        found[name] = Problem(
            name, unit, series, range(first - 1, second - 1), range(second - 1, n - 1), refits, window, period
        )
    return found


def walk(problem, method, setting, origins, keep=None, progress=False):
    """Walk through the origins: fit every `refits` of them, forecast at each.

    Args:
        method: a name of `METHODS`, or a pair (fit, forecast).
        keep: a list that gets what each fit returned; None if nobody wants it.

    Returns:
        means and standard deviations, (origins, answers), or (seeds, origins, answers) for a network; of a method
        without an interval the second is NaN.
    """
    fit, forecast = METHODS[method] if isinstance(method, str) else method
    means, deviations, fitted = [], [], None
    for number, t in enumerate(tqdm(origins, f"{problem.name}, {method}", leave=False, disable=not progress)):
        history = problem.series[: t + 1]  # all that anybody can know at t
        if number % problem.refits == 0:
            fitted = fit(problem, history, setting)
            if keep is not None:
                keep.append(fitted)
        mean, deviation = forecast(problem, fitted, history)
        means.append(mean)
        deviations.append(np.full_like(mean, np.nan) if deviation is None else deviation)
    return np.stack(means, axis=-2), np.stack(deviations, axis=-2)


# ---------------------------------------------------------------- without learning


def nothing(problem, history, setting):
    return None


def persistence(problem, fitted, history):
    """Everything stays: the last value, or a price that does not move."""
    return np.zeros(5) if problem.name == "stocks" else np.full(steps(problem), history[-1, 0]), None


def steps(problem):
    """Return the number of months or days ahead."""
    return 12 if problem.name == "co2" else 1


def seasonal(problem, fitted, history):
    """As at the same time of the year before."""
    period = round(problem.period)
    last_year = history[len(history) - period :]
    return last_year[0] if problem.name == "stocks" else last_year[: steps(problem), 0], None


def growing(problem, fitted, history):
    """As at the same time of the year before, moved by the change over the year so far."""
    return seasonal(problem, fitted, history)[0] + history[-1, 0] - history[-13, 0], None


def waves(problem, first, number, harmonics=2):
    """Return a constant and waves of a year for steps from `first` on, (number, 1 + 2 harmonics)."""
    phase = 2 * np.pi * np.arange(first, first + number) / problem.period
    pairs = [wave(k * phase) for k in range(1, harmonics + 1) for wave in (np.sin, np.cos)]
    return np.stack([np.ones(number), *pairs], axis=1)


def fit_climate(problem, history, setting):
    return np.linalg.lstsq(waves(problem, 0, len(history)), history[:, 0], rcond=None)[0]


def climate(problem, fitted, history):
    """The mean of the years so far at this time of the year, as waves."""
    return waves(problem, len(history), steps(problem)) @ fitted, None


# ---------------------------------------------------------------- autoregression and smoothing, by statsmodels


def autoregression(problem, y, setting):
    if problem.name == "co2":
        return AutoReg(y, setting["lags"], trend="ct", seasonal=setting["season"], period=12)
    if problem.name == "weather" and setting["season"]:
        terms = [Fourier(problem.period, order=1)]
        waves_of_a_year = DeterministicProcess(np.arange(len(y)), constant=True, additional_terms=terms)
        return AutoReg(y, setting["lags"], trend="n", deterministic=waves_of_a_year)
    return AutoReg(y, setting["lags"], trend="c")


def columns(problem, history):
    """Return the series that are forecast, each without what is missing before its start."""
    every = history.T if problem.name == "stocks" else history[:, :1].T
    return [one[~np.isnan(one)] for one in every]


def fit_ar(problem, history, setting):
    fitted = []
    for y in columns(problem, history):
        if len(y) < 18:  # 24 at each origin that counts; at the last fit before it up to five fewer
            fitted.append(None)
            continue
        result = autoregression(problem, y, setting).fit()
        phi = np.asarray(result.params)[len(result.params) - setting["lags"] :]
        psi = [1.0]  # how far one surprise is felt, 0, 1, ... steps later
        for h in range(1, steps(problem)):
            psi.append(sum(phi[i] * psi[h - 1 - i] for i in range(min(h, len(phi)))))
        rows = len(y) - setting["lags"]
        sigma = np.sqrt((result.resid**2).sum() / (rows - len(result.params)))
        fitted.append((np.asarray(result.params), sigma * np.sqrt(np.cumsum(np.square(psi)))))
    return setting, fitted


def ar(problem, fitted, history):
    """y[t] = constant + season + sum over k of phi_k y[t - k], said again and again for what lies further ahead."""
    (setting, each), found = fitted, []
    for y, one in zip(columns(problem, history), each, strict=True):
        if one is None:
            found.append(np.full((2, steps(problem)), np.nan))
        else:
            model = autoregression(problem, y, setting)
            found.append((model.predict(one[0], start=len(y), end=len(y) + steps(problem) - 1), one[1]))
    means, deviations = np.concatenate([np.array(pair) for pair in found], axis=1)
    return means, deviations


def smoother(y, setting):
    kind, season = setting["trend"], setting.get("seasonal")
    return ExponentialSmoothing(
        y, trend="add" if kind else None, damped_trend=kind == "damped", seasonal=season,
        seasonal_periods=12 if season else None, initialization_method="heuristic",
    )  # fmt: skip


def fit_smoothing(problem, history, setting):
    if problem.name == "stocks":
        return setting, None, None
    around = fit_climate(problem, history, None) if setting.get("around") == "season" else None
    y = history[:, 0] - (waves(problem, 0, len(history)) @ around if around is not None else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an optimum at the edge, such as a trend that is not smoothed at all
        params = smoother(y, setting).fit().params
    names = ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")
    return setting, {name: params[name] for name in names if not np.isnan(params[name])}, around


def smoothing(problem, fitted, history):
    """A level, a trend and a season, each moved by a share of every surprise."""
    setting, params, around = fitted
    if problem.name == "stocks":
        share, found = setting["share"], []
        for y in columns(problem, history):
            weights = share * (1 - share) ** np.arange(len(y))[::-1]
            found.append(weights @ y / weights.sum() if len(y) else np.nan)
        return np.array(found), None
    season = waves(problem, 0, len(history) + steps(problem)) @ around if around is not None else None
    y = history[:, 0] - (season[: len(history)] if season is not None else 0)
    mean = smoother(y, setting).fit(optimized=False, **params).forecast(steps(problem))
    return mean + (season[len(history) :] if season is not None else 0), None


# ---------------------------------------------------------------- what the linear model and the network read and answer


def features(problem, history):
    """Return what is read at each step of each series, (S, n, D), in units."""
    n = len(history)
    when = waves(problem, 1, n, harmonics=1)[:, 1:]  # the calendar of the step after
    if problem.name == "weather":
        return np.concatenate([history, when], axis=1)[None]
    if problem.name == "co2":
        return np.concatenate([np.diff(history, axis=0, prepend=history[:1]), when], axis=1)[None]
    market = np.nanmean(history, axis=1)
    return np.stack([np.stack([own, market], axis=1) for own in history.T])


def levels(problem, history, x):
    """Return what a change is counted from, (S, n, 1): the temperature as read, the carbon dioxide, 0 for a return."""
    return {"weather": x[..., :1], "co2": history[None, :, :1], "stocks": 0 * x[..., :1]}[problem.name]


def changes(problem, history, x):
    """Return the answers less the level now, (S, n, C): what persistence would not know."""
    answers = problem.answers(history)
    answers = answers.T[..., None] if problem.name == "stocks" else answers[None]
    return answers - levels(problem, history, x)


def scales(array):
    """Return the mean and the standard deviation of the last axis over all that is known."""
    flat = array.reshape(-1, array.shape[-1])
    return np.nanmean(flat, axis=0), np.nanstd(flat, axis=0)


def windows(x, z, length):
    """Return (series, step) of every step with a whole window before it and a known answer."""
    whole = np.isfinite(x).all(axis=-1)
    whole = np.stack([np.convolve(one, np.ones(length), "full")[: len(one)] >= length for one in whole])
    return np.argwhere(whole & np.isfinite(z).all(axis=-1))


def pick(x, where, length):
    """Return windows that end at given (series, step), time-major: (length, B, D)."""
    return x[where[:, 0], where[:, 1] - np.arange(length - 1, -1, -1)[:, None]]


def units(problem, history, x, mean, deviation):
    """Turn changes (..., S, C) after the last step back into the answers of a problem, (..., answers)."""
    mean = mean + np.nan_to_num(levels(problem, history, x)[:, -1])
    return mean.reshape(*mean.shape[:-2], -1), deviation.reshape(*mean.shape[:-2], -1)


def fit_linear(problem, history, setting):
    x = features(problem, history)
    z = changes(problem, history, x)
    where = windows(x, z, setting["lags"])
    rows = design(pick(x, where, setting["lags"]))
    z = z[where[:, 0], where[:, 1]]
    weights = np.linalg.lstsq(rows, z, rcond=None)[0]
    rest = z - rows @ weights
    return setting, weights, np.sqrt((rest**2).sum(axis=0) / (len(z) - rows.shape[1]))


def design(x):
    """Return a row for each window, all its numbers and a one."""
    return np.concatenate([x.transpose(1, 0, 2).reshape(x.shape[1], -1), np.ones((x.shape[1], 1))], axis=1)


def linear(problem, fitted, history):
    """The same inputs and answers as the network's, by least squares."""
    setting, weights, sigma = fitted
    lags = setting["lags"]
    x = features(problem, history)
    mean = design(x[:, -lags:].transpose(1, 0, 2)) @ weights
    return units(problem, history, x, mean, np.broadcast_to(sigma, mean.shape))


# ---------------------------------------------------------------- the network


class Windows:
    """Windows of a history as a task; each step of the second half is asked."""

    def __init__(self, x, z, where, length):
        self.x, self.z, self.where, self.length = x, z, where, length

    def sample(self, rng, batch_size, dtype=np.float64):
        where = self.where[rng.integers(0, len(self.where), batch_size)]
        mask = np.zeros((self.length, batch_size), dtype)
        mask[self.length // 2 :] = 1
        x, z = (pick(array, where, self.length).astype(dtype) for array in (self.x, self.z))
        return rl.Batch(x, np.nan_to_num(z), mask)


def network(problem):
    D, C = {"weather": (6, 1), "co2": (3, 12), "stocks": (2, 1)}[problem.name]
    return rl.Model(rl.GRUCell(D, WIDTH), output_size=2 * C, loss=rl.gaussian_nll)


def fit_gru(problem, history, setting, read=features, known=None, keep=None):
    """Train one network for each seed (and rate).

    Args:
        read: what gives the features; another for the leaks.
        known: the history by which they are standardized; this one if None.
        keep: a function of the steps asked that says which may be learned from; all if None.
    """
    x, length = read(problem, history), problem.window
    z = changes(problem, history, x)
    of_x, of_z = scales(x if known is None else read(problem, known)), scales(z)
    where = windows(x, z, length)
    where = where if keep is None else where[keep(where[:, 1])]
    task = Windows((x - of_x[0]) / of_x[1], (z - of_z[0]) / of_z[1], where, length)
    lr, seeds = np.meshgrid(setting["lr"], setting["seeds"], indexing="ij")
    runs = rl.train(
        network(problem), task, rl.Adam(lr=lr.ravel()), rl.ClipNorm(MAX_NORM), updates=setting["updates"],
        seed=seeds.ravel(), batch_size=BATCH_SIZE, dtype=np.float32, schedule=rl.CosineDecay(setting["updates"]),
        progress=False,
    )  # fmt: skip
    params = {name: np.stack([run.params[name] for run in runs]) for name in runs[0].params}
    return {"params": params, "of_x": of_x, "of_z": of_z, "read": read}


def gru(problem, fitted, history):
    """A mean and a standard deviation of each change, (seeds, answers)."""
    read, length = fitted.get("read", features), problem.window
    x = read(problem, history)
    window = (x[:, -length:] - fitted["of_x"][0]) / fitted["of_x"][1]
    window = np.nan_to_num(window.transpose(1, 0, 2)).astype(np.float32)
    outputs = network(problem).forward(fitted["params"], window)[0][..., -1, :, :]
    mean, log_variance = np.split(outputs.astype(float), 2, axis=-1)
    center, scale = fitted["of_z"]
    mean, deviation = center + scale * mean, scale * np.exp(log_variance / 2)
    mean, deviation = units(problem, history, x, mean, deviation)
    unknown = np.isnan(history[-length:]).any(axis=0) if problem.name == "stocks" else False
    return np.where(unknown, np.nan, mean), np.where(unknown, np.nan, deviation)


METHODS = {
    "persistence": (nothing, persistence),
    "seasonal naive": (nothing, seasonal),
    "season and growth": (nothing, growing),
    "climate": (fit_climate, climate),
    "AR": (fit_ar, ar),
    "smoothing": (fit_smoothing, smoothing),
    "linear": (fit_linear, linear),
    "GRU": (fit_gru, gru),
}
