"""Whose turn it is: a queue without requests."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.queue import FairQueue

ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=30)


def filled(items) -> FairQueue[tuple[int, str, int]]:
    queue: FairQueue[tuple[int, str, int]] = FairQueue()
    for number, (key, priority) in enumerate(items):
        queue.push((number, key, priority), key=key, priority=priority)
    return queue


def serve(queue) -> list[tuple[int, str, int]]:
    served = []
    while (item := queue.peek()) is not None:
        _, key, priority = item
        assert queue.remove(item, key=key, priority=priority)
        queue.took_turn(key=key, priority=priority)
        served.append(item)
    return served


@given(ITEMS)
def test_every_item_is_served_once_the_higher_priority_first_and_each_key_in_its_order(items):
    served = serve(filled(items))
    assert sorted(served) == [(n, key, priority) for n, (key, priority) in enumerate(items)]
    assert [item[2] for item in served] == sorted(item[2] for item in served)
    for key in "abc":
        for priority in range(3):
            mine = [n for n, k, p in served if (k, p) == (key, priority)]
            assert mine == sorted(mine)


@given(ITEMS)
def test_the_order_shown_is_the_order_of_turns(items):
    queue = filled(items)
    assert list(queue) == serve(queue)


@given(ITEMS)
def test_no_key_is_served_twice_before_another_that_waits_at_its_priority(items):
    queue = filled([(key, 0) for key, _ in items])
    served = serve(queue)
    counts = {key: sum(k == key for k, _ in items) for key in "abc"}
    seen: dict[str, int] = dict.fromkeys("abc", 0)
    for _, key, _ in served:
        seen[key] += 1
        for other in "abc":
            assert seen[key] - seen[other] <= 1 or seen[other] == counts[other]


@given(ITEMS, st.randoms(use_true_random=False))
def test_items_leave_from_anywhere_and_the_counts_stay_true(items, random):
    queue = filled(items)
    left = [(n, key, priority) for n, (key, priority) in enumerate(items)]
    random.shuffle(left)
    while left:
        number, key, priority = left.pop()
        assert queue.remove((number, key, priority), key=key, priority=priority)
        assert not queue.remove((number, key, priority), key=key, priority=priority)
        assert len(queue) == len(left)
        for name in "abc":
            assert queue.waiting(name) == sum(k == name for _, k, _ in left)
    assert queue.peek() is None


@given(ITEMS, st.sampled_from("abc"), st.integers(0, 2))
def test_no_more_go_before_a_new_item_than_its_position_says(items, key, priority):
    queue = filled(items)
    said = queue.position(key=key, priority=priority)
    queue.push((99, key, priority), key=key, priority=priority)
    assert serve(queue).index((99, key, priority)) <= said
