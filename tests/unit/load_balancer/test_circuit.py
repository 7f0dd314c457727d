"""An arm that fails much is left out, comes back slowly, and is left out longer if it has not recovered."""

from hypothesis import given
from hypothesis import strategies as st

from load_balancer.circuit import (
    FIRST_EJECTION_S,
    LAST_RESORT,
    LONGEST_EJECTION_S,
    PROBES,
    RETURN_S,
    Circuit,
)


def fail(circuit: Circuit, times: int, now: float = 0.0) -> list[bool]:
    return [circuit.record(False, now) for _ in range(times)]


def test_an_arm_that_always_fails_is_out_after_seven_attempts() -> None:
    circuit = Circuit()
    assert fail(circuit, 7) == [False] * 6 + [True]
    assert circuit.weight(0.0) == 0.0


def test_an_arm_that_fails_now_and_then_stays() -> None:
    circuit = Circuit()
    for i in range(1000):
        circuit.record(succeeded=i % 3 > 0, now=0.0)
    assert circuit.weight(0.0) == 1.0


def test_it_comes_back_slowly() -> None:
    circuit = Circuit()
    fail(circuit, 7)
    after = [circuit.weight(FIRST_EJECTION_S + s) for s in (0.0, 0.3 * RETURN_S, 0.6 * RETURN_S, RETURN_S)]
    assert after == sorted(after)
    assert 0 < after[0] < 0.1
    assert after[-1] == 1.0


def test_failing_on_return_it_is_out_twice_as_long() -> None:
    circuit, now = Circuit(), 0.0
    fail(circuit, 7, now)
    lengths = []
    for _ in range(8):
        began = now
        while circuit.weight(now) == 0:
            now += 0.5
        lengths.append(now - began)
        assert True in fail(circuit, 3, now)
    assert lengths[:3] == [FIRST_EJECTION_S, 2 * FIRST_EJECTION_S, 4 * FIRST_EJECTION_S]
    assert max(lengths) == LONGEST_EJECTION_S


def test_once_recovered_the_next_ejection_is_short_again() -> None:
    circuit = Circuit()
    fail(circuit, 7)
    fail(circuit, 3, FIRST_EJECTION_S)
    healthy = FIRST_EJECTION_S + 2 * FIRST_EJECTION_S + RETURN_S
    for _ in range(50):
        circuit.record(True, healthy)
    fail(circuit, 7, healthy)
    assert circuit.weight(healthy + FIRST_EJECTION_S) > 0


def test_what_was_sent_before_the_ejection_does_not_prolong_it() -> None:
    circuit = Circuit()
    fail(circuit, 7)
    assert not any(fail(circuit, 100))
    assert circuit.weight(FIRST_EJECTION_S) > 0


def test_an_arm_that_is_not_ready_is_the_last_resort() -> None:
    circuit = Circuit()
    assert [circuit.probed(answered=False, now=0.0) for _ in range(PROBES + 1)] == [False] * 2 + [True, False]
    assert circuit.weight(0.0) == LAST_RESORT


def test_probes_that_fail_now_and_then_do_not_count() -> None:
    circuit = Circuit()
    for now in range(20):
        assert not circuit.probed(answered=now % PROBES == 0, now=float(now))
        assert circuit.weight(float(now)) == 1.0


def test_ready_again_it_comes_back_slowly() -> None:
    circuit = Circuit()
    for _ in range(PROBES):
        circuit.probed(answered=False, now=0.0)
    circuit.probed(answered=True, now=5.0)
    assert 0 < circuit.weight(5.0) < 0.1
    assert circuit.weight(5.0 + RETURN_S) == 1.0


def test_being_ready_all_along_does_not_end_an_ejection() -> None:
    circuit = Circuit()
    fail(circuit, 7)
    for answered in (False, False, True):
        circuit.probed(answered, now=0.1)
    assert circuit.weight(0.1) == 0.0


def test_an_arm_that_was_away_long_comes_back_as_soon_as_it_is_ready() -> None:
    circuit, now = Circuit(), 0.0
    while now < 60:  # nobody listens, and viewers have nobody else to ask
        circuit.probed(answered=False, now=now)
        fail(circuit, 7, now)
        now += 1
    circuit.probed(answered=True, now=now)
    assert 0 < circuit.weight(now) < 0.1
    fail(circuit, 7, now)
    assert circuit.weight(now + FIRST_EJECTION_S) > 0


@given(st.lists(st.booleans(), max_size=200))
def test_weight_is_always_a_share(outcomes: list[bool]) -> None:
    circuit = Circuit()
    for second, outcome in enumerate(outcomes):
        circuit.record(outcome, float(second))
        assert 0 <= circuit.weight(float(second)) <= 1
