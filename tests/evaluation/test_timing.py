"""Calls are timed in turn."""

from elbert_jax.evaluation import timing


def test_calls_take_turns_after_a_warm_up():
    order = []
    calls = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    timed = timing.measure(calls, 2)
    assert order == ["a", "b"] * 3
    assert [each.result for each in timed.values()] == [5, 6]
    assert all(len(each.seconds) == 2 for each in timed.values())
