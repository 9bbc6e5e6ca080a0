"""The table of ablations: identity, growth, and what is not known."""

from __future__ import annotations

from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from memscope.scoring.table import ALL_LEFT_OUT, NOTHING_LEFT_OUT, AblationTable, only, without

NAMES = st.text("abcdef", min_size=1, max_size=2)
ABLATIONS = st.builds(lambda keys, inverted: only(*keys) if inverted else without(*keys), st.sets(NAMES), st.booleans())


def test_leaving_out_all_but_some_stays_the_same_ablation_when_the_session_grows() -> None:
    assert only("a").removed(["a", "b"]) == {"b"}
    assert only("a").removed(["a", "b", "c"]) == {"b", "c"}
    assert without("a").removed(["a", "b"]) == {"a"}
    assert NOTHING_LEFT_OUT.removed(["a"]) == frozenset()
    assert ALL_LEFT_OUT.removed(["a"]) == {"a"}
    assert without("a", "b") == without("b", "a")
    assert without("a") != only("a")


def test_what_was_not_measured_is_not_a_number_and_is_missing() -> None:
    table = AblationTable()
    assert list(map(isnan, table.logprobs(NOTHING_LEFT_OUT, ["r1", "r2"]))) == [True, True]
    table.put(NOTHING_LEFT_OUT, {"r2": -1.5})
    assert isnan(table.get(NOTHING_LEFT_OUT, "r1"))
    assert table.get(NOTHING_LEFT_OUT, "r2") == -1.5
    assert table.missing(NOTHING_LEFT_OUT, ["r1", "r2", "r3"]) == ["r1", "r3"]
    assert table.missing(ALL_LEFT_OUT, ["r2"]) == ["r2"]


def test_forgetting_responses_leaves_the_others() -> None:
    table = AblationTable()
    table.put(NOTHING_LEFT_OUT, {"r1": -1.0, "r2": -2.0})
    table.put(without("k"), {"r2": -3.0})
    table.forget(["r2", "unknown"])
    assert table.missing(NOTHING_LEFT_OUT, ["r1", "r2"]) == ["r2"]
    assert table.missing(without("k"), ["r2"]) == ["r2"]


def test_what_was_asked_for_before_it_was_forgotten_is_not_kept() -> None:
    table = AblationTable()
    revision = table.revision
    table.forget(["r2"])
    table.put(NOTHING_LEFT_OUT, {"r1": -1.0, "r2": -2.0}, revision)
    assert table.missing(NOTHING_LEFT_OUT, ["r1", "r2"]) == ["r2"]
    table.put(NOTHING_LEFT_OUT, {"r2": -3.0}, table.revision)
    assert table.get(NOTHING_LEFT_OUT, "r2") == -3.0


@given(st.lists(st.tuples(ABLATIONS, st.dictionaries(NAMES, st.floats(-50, 0), max_size=6)), max_size=12))
def test_the_table_holds_the_newest_value_of_every_cell(puts: list[tuple[object, dict[str, float]]]) -> None:
    table, model = AblationTable(), dict[tuple[object, str], float]()
    for ablation, values in puts:
        table.put(ablation, values)  # type: ignore[arg-type]
        model |= {(ablation, response): value for response, value in values.items()}
    for (ablation, response), value in model.items():
        assert table.get(ablation, response) == value  # type: ignore[arg-type]
    responses = sorted({response for _, response in model})
    for ablation, _ in puts:
        unknown = [r for r in responses if (ablation, r) not in model]
        assert table.missing(ablation, responses) == unknown  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("abcdefg"), unique=True), st.lists(st.sampled_from("abcdefg"), unique=True))
def test_any_order_of_known_and_new_responses_gives_their_own_values(known: list[str], asked: list[str]) -> None:
    table = AblationTable()
    table.put(NOTHING_LEFT_OUT, {response: float(ord(response)) for response in known})
    expected = [float(ord(response)) if response in known else None for response in asked]
    values = table.logprobs(NOTHING_LEFT_OUT, asked)
    assert [None if isnan(value) else value for value in values] == expected
