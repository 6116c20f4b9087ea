"""Placement: what fits goes where there is room, and what does not is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model.expert import Expert
from components.model.model_file import ModelFile
from components.plan.placement import PlacementError, place, reserve_mib, rung_need_mib

GIB = 1024 * 1024 * 1024


def model(size: int) -> ModelFile:
    return ModelFile.model_validate({"file": "m.gguf", "size": size, "repo": "a/b"})


def expert(ladder: list[str], **more: object) -> Expert:
    return Expert.model_validate({"ladder": ladder, "prompt-cache-mib": 0, **more})


MODELS = {"big": model(20 * GIB), "middle": model(3 * GIB), "small": model(GIB // 4)}


def test_the_best_rung_that_fits_decides_the_memory() -> None:
    spot = place({"a": expert(["big", "middle", "small"])}, MODELS, {"h": 8000})["a"]
    assert spot.memory_mib == rung_need_mib("middle", expert(["middle"]), MODELS)


def test_an_expert_goes_to_the_host_with_most_memory_left() -> None:
    placed = place(
        {"a": expert(["middle"]), "b": expert(["middle"])}, MODELS, {"h1": 8000, "h2": 7900}
    )
    assert (placed["a"].host, placed["b"].host) == ("h1", "h2")


def test_a_pinned_expert_stays_on_its_host() -> None:
    placed = place({"a": expert(["small"], host="h2")}, MODELS, {"h1": 64000, "h2": 4000})
    assert placed["a"].host == "h2"


def test_a_ladder_that_fits_nowhere_is_refused_with_need_offer_and_fix() -> None:
    with pytest.raises(PlacementError) as caught:
        place({"a": expert(["big", "middle"])}, MODELS, {"h": 2000})
    message = str(caught.value)
    assert "experts.a.ladder" in message
    assert "middle needs" in message
    assert "h has 1488 MiB left" in message
    assert "context-tokens" in message


def test_a_ladder_that_ends_with_the_builtin_model_fits_a_tiny_machine() -> None:
    assert place({"a": expert(["big", "selftest"])}, MODELS, {"h": 1500})["a"].memory_mib < 100


@given(
    memory=st.lists(st.integers(1000, 100_000), min_size=1, max_size=5),
    ladders=st.lists(
        st.lists(st.sampled_from(["big", "middle", "small"]), min_size=1, unique=True), max_size=6
    ),
)
def test_no_host_is_ever_promised_more_than_it_has_above_its_reserve(
    memory: list[int], ladders: list[list[str]]
) -> None:
    hosts = {f"h{index}": mib for index, mib in enumerate(memory)}
    experts = {f"e{index}": expert(ladder) for index, ladder in enumerate(ladders)}
    try:
        placed = place(experts, MODELS, hosts)
    except PlacementError:
        return
    for host, mib in hosts.items():
        promised = sum(spot.memory_mib for spot in placed.values() if spot.host == host)
        assert promised <= mib - reserve_mib(mib)
