from core.clock import ManualClock
from ingest.health import reader_liveness, reader_readiness
from ingest.lag import Lag
from ingest.reader import ReaderState
from tests.ingest_support import NOW


def state(**changes: object) -> ReaderState:
    made = ReaderState(started=True, progress_ms=NOW, turn_ms=NOW)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_reader_that_has_caught_up_is_ready_however_long_ago_it_committed() -> None:
    clock = ManualClock(NOW + 10_000_000)
    assert reader_readiness(state(lag=Lag({"t": 0}, 9), turn_ms=clock.now_ms()), clock, 60_000).ready


def test_it_says_why_it_is_not() -> None:
    clock = ManualClock(NOW + 60_001)
    found = reader_readiness(
        state(started=False, problem="store: locked", lag=Lag({"t": 3}, 9)), clock, 60_000
    )
    assert found.problems == {
        "started": "has not joined its consumer group yet",
        "dependencies": "store: locked",
        "loop": "the loop has hung in one step since 2027-01-15T08:00:00.000Z",
        "progress": "3 records wait and none was committed since 2027-01-15T08:00:00.000Z",
    }


def test_it_lives_while_its_loop_comes_round_whatever_fails() -> None:
    clock = ManualClock(NOW + 60_000)
    assert reader_liveness(state(problem="store: away", progress_ms=0), clock, 60_000) is None
    clock.move(1)
    assert (
        reader_liveness(state(), clock, 60_000)
        == "the loop has hung in one step since 2027-01-15T08:00:00.000Z"
    )
