import numpy as np
import pytest

from rnnlab import datasets


def test_seattle_weather_is_split_in_time_and_standardized_by_its_first_part():
    weather = datasets.load("seattle_weather")
    assert [len(part) for part in (weather.train, weather.validation, weather.test)] == [731, 365, 365]
    assert weather.train.shape[1] == len(weather.features) == 4
    np.testing.assert_allclose(weather.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(weather.train.std(axis=0), 1, atol=1e-12)
    first_day = weather.train[0] * weather.std + weather.mean
    np.testing.assert_allclose(first_day, [12.8, 5.0, 0.0, 4.7], atol=1e-12)
    assert weather.source and weather.licence


def test_a_forecast_asks_for_the_day_after_the_window():
    series = np.arange(40.0).reshape(20, 2)
    batch = datasets.Forecast(series, length=5, target=1).every()
    assert batch.x.shape == (5, 15, 2)
    np.testing.assert_array_equal(batch.y[-1, :, 0], series[5:, 1])
    np.testing.assert_array_equal(batch.x[:, 3], series[3:8])
    assert batch.mask[:-1].sum() == 0 and batch.mask[-1].sum() == 15


def test_the_baseline_is_persistence():
    weather = datasets.load("seattle_weather")
    task = datasets.Forecast(weather.validation, length=1)
    batch = task.every()
    assert task.baseline == pytest.approx(((batch.x[-1, :, 0] - batch.y[-1, :, 0]) ** 2).mean())


def test_samples_are_windows_of_the_series():
    task = datasets.Forecast(datasets.load("seattle_weather").train, length=7)
    every, some = task.every(), task.sample(np.random.default_rng(0), 50, np.float32)
    assert some.x.dtype == np.float32
    for b in range(50):
        gaps = np.abs(every.x - some.x[:, [b]]).max(axis=(0, 2))
        assert gaps.min() < 1e-6
        assert some.y[-1, b, 0] == pytest.approx(every.y[-1, gaps.argmin(), 0], abs=1e-6)


def test_clear_errors(monkeypatch):
    with pytest.raises(ValueError, match=r"expected one of \['seattle_weather'\], got 'mars_weather'"):
        datasets.load("mars_weather")
    with pytest.raises(ValueError, match="below the 20 steps of the series, got 20"):
        datasets.Forecast(np.zeros((20, 1)), 20)
    with pytest.raises(ValueError, match="checksum"):
        datasets._shipped("vega_datasets", "_data/seattle-weather.csv", "0" * 64)
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match="pip install vega_datasets"):
        datasets.load("seattle_weather")
