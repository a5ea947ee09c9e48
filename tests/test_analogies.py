"""Translation by analogy, on a language made for it, and dates and numbers as a data set."""

import datetime

import numpy as np
import pytest

from rnnlab import analogies, data_dates, datasets, shipped


@pytest.fixture(scope="module")
def data(load_data):
    return load_data("dates")


def made_up():
    """Pairs of a language that turns two words around, glues them and keeps numbers."""
    colors, things = {"red": "Rot", "green": "Grün", "blue": "Blau"}, {"hat": "hut", "cup": "becher", "dog": "hund"}
    every = [(f"{c} {t} {n}", f"{n} {things[t]}{colors[c]}") for c in colors for t in things for n in (3, 14, 15)]
    return every


def test_a_pair_that_was_held_back_is_made_from_the_others():
    every = made_up()
    for n, (source, target) in enumerate(every):
        rest = every[:n] + every[n + 1 :]
        model = analogies.Analogies(datasets.Pairs(*zip(*rest, strict=True)), group=lambda source: 0)
        assert model.translate(source) == target
    assert model.translate("red hat 99") == "99 hutRot" and model.translate("red") == ""
    assert model.tables[0]["blue"].startswith("Blau") and model.tables[0]["dog"].strip() == "hund"


def test_groups_do_not_learn_from_each_other():
    pairs = datasets.Pairs(("a one", "a two", "b one", "b two"), ("eins", "zwei", "un", "deux"))
    model = analogies.Analogies(pairs, group=lambda source: source[0])
    assert [model.translate(source) for source in pairs.sources] == list(pairs.targets)


# ---------------------------------------------------------------- dates


def values(part):
    """The days, years and numbers of a part, read from its English texts by another way than it was made."""
    from num2words import num2words

    years = {num2words(year, to="year"): year for year in range(1600, 2100)}
    numbers = {num2words(number): number for number in range(1, 10_000)}
    found = {"day": set(), "year": set(), "number": set()}
    for (source, target), direction, kind in zip(part, part.directions, part.kinds, strict=True):
        english = source[5:] if direction[0] == "en" else target
        if "date" in kind:
            form = {"full date": "%A, %B %d, %Y", "long date": "%d %B %Y", "medium date": "%b %d, %Y"}[kind]
            found["day"].add(datetime.datetime.strptime(english, form).date())
        elif "year" in kind:
            found["year"].add(years[english])
        else:
            found["number"].add(numbers[english])
    return found


def test_no_day_year_or_number_is_in_two_parts(data):
    parts = [values(part) for part in (data.train, data.validation, data.test)]
    beyond = data_dates.beyond_dates()
    for kind in parts[0]:
        assert len(set.union(*(part[kind] for part in parts))) == sum(len(part[kind]) for part in parts)
        assert all(part[kind] for part in parts)
    for part in parts:
        assert not any(1970 <= day.year < 1980 for day in part["day"]) and not part["year"] & set(range(1970, 1980))
        assert max(part["number"]) < 1000
    decade, thousands = (values(beyond[name]) for name in ("decade", "thousands"))
    assert all(1970 <= day.year < 1980 for day in decade["day"]) and decade["year"] == set(range(1970, 1980))
    assert min(thousands["number"]) >= 2100 and max(thousands["number"]) < 10_000 and not thousands["day"]


def test_a_source_has_one_target_and_both_are_short(data):
    every = [data.train, data.validation, data.test, *data_dates.beyond_dates().values()]
    assert [len(part) for part in every] == [13_200, 720, 1_440, 300, 300]
    sources = [source for part in every for source in part.sources]
    assert len(set(sources)) == len(sources) and max(map(len, sources)) <= 45
    assert max(len(target) for part in every for target in part.targets) <= 40
    for part in every:
        assert all(source.startswith(f"<{to}> ") for source, (_, to) in zip(part.sources, part.directions, strict=True))
    assert set(data.train.directions) == set(data_dates.DIRECTIONS) and set(data.train.kinds) == set(data_dates.KINDS)
    some = data.test.take([5, 700])
    assert some[1] == data.test[700] and some.kinds == (data.test.kinds[5], data.test.kinds[700])


def test_chinese_numbers_can_be_read_back():
    units = {"千": 1000, "百": 100, "十": 10}
    for number in range(1, 10_000):
        total, digit = 0, 0
        for letter in data_dates.chinese_number(number):
            if letter in units:
                total, digit = total + max(digit, 1) * units[letter], 0
            elif letter != "零":
                digit = data_dates.DIGITS.index(letter)
        assert total + digit == number
    known = {2: "二", 10: "十", 12: "十二", 20: "二十", 100: "一百", 101: "一百零一", 115: "一百一十五",
             1001: "一千零一", 1010: "一千零一十", 5600: "五千六百", 9999: "九千九百九十九"}  # fmt: skip
    assert {number: data_dates.chinese_number(number) for number in known} == known
    with pytest.raises(ValueError, match="from 1 to 9999, got 0"):
        data_dates.chinese_number(0)


def test_the_baseline_is_that_of_the_validation_part_and_no_network_has_learned_it(data):
    model = data_dates.analogies(data.train)
    right = [model.translate(source) == target for source, target in data.validation]
    assert data.baseline.value == np.mean(right) > 0.7
    plain = [kind == "full date" for kind in data.validation.kinds]
    assert np.mean(np.array(right)[plain]) > 0.95


def test_other_pairs_under_the_known_versions_are_refused(monkeypatch):
    monkeypatch.setattr(data_dates, "SHA", "0" * 64)
    with pytest.raises(ValueError, match=r"pairs of babel .* SHA-256 000000000000\.\.\., got"):
        datasets.load("dates")
    monkeypatch.setattr(data_dates, "VERSIONS", {"babel": "0.0", "num2words": "0.0"})
    known = analogies.Analogies(datasets.Pairs(("a",), ("b",)), group=lambda source: 0)
    monkeypatch.setattr(data_dates, "analogies", lambda train: known)  # learned from all pairs, it takes seconds
    assert "num2words 0" in datasets.load("dates").source
    monkeypatch.setattr(shipped.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match="pip install babel"):
        datasets.load("dates")
