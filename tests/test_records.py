"""What the scripts of the applications share: files that are whole or not there, and an interval over few seeds."""

import numpy as np
import pytest

from evidence import script

records = script("records")


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "model.npz"
    with records.whole(path) as beside:
        np.savez(beside, one=np.ones(2))
        assert not path.exists()
    for error in (KeyboardInterrupt, ValueError):
        with pytest.raises(error), records.whole(path) as beside:
            beside.write_bytes(b"half")
            raise error
    assert np.load(path)["one"].tolist() == [1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    records.write(path.with_suffix(".json"), "ä")
    assert path.with_suffix(".json").read_text(encoding="utf-8") == "ä"


@pytest.mark.parametrize("seeds", records.T975)
def test_the_interval_holds_the_mean_in_95_of_100_draws(seeds):
    draws = np.random.default_rng(0).normal(3, 2, (20_000, seeds))
    means = draws.mean(axis=1)
    halves = records.T975[seeds] * draws.std(axis=1, ddof=1) / np.sqrt(seeds)
    assert (np.abs(means - 3) < halves).mean() == pytest.approx(0.95, abs=0.005)
    assert records.mean_and_half(draws[0]) == pytest.approx((means[0], halves[0]))
