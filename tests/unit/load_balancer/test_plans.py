"""The plan in force is the newest that could be read; trouble leaves the one we have."""

from core.errors import DependencyError
from core.traffic import TrafficPlan, Upstream
from load_balancer.plans import PlanPoller


def plan(
    epoch: int, main: str = "http://127.0.0.1:1", canary: str | None = None, share: float = 0.1
) -> TrafficPlan:
    def at(url: str) -> Upstream:
        return Upstream(version="v", bundle_digest="d", url=url)

    return TrafficPlan(
        epoch=epoch, created_ms=0, main=at(main), canary=at(canary) if canary else None, share=share
    )


class Table:
    """What SQL would answer."""

    def __init__(self) -> None:
        self.plan: TrafficPlan | None = None
        self.away = False

    def read(self) -> TrafficPlan | None:
        if self.away:
            raise DependencyError("SQL is away")
        return self.plan


def poller(table: Table) -> PlanPoller:
    return PlanPoller(table.read, 60)


def test_not_ready_before_a_plan_was_read() -> None:
    table = Table()
    poll = poller(table)
    assert "no traffic plan" in str(poll.problem())
    poll.poll()
    assert "no traffic plan" in str(poll.problem())
    table.plan = plan(1)
    poll.poll()
    assert poll.problem() is None
    assert poll.current == plan(1)


def test_the_reason_for_not_being_ready_is_what_went_wrong() -> None:
    table = Table()
    table.away = True
    poll = poller(table)
    poll.poll()
    assert poll.problem() == "SQL is away"


def test_the_last_plan_stays_while_sql_is_away() -> None:
    table = Table()
    table.plan = plan(1)
    poll = poller(table)
    poll.poll()
    table.away = True
    poll.poll()
    assert poll.current == plan(1)
    assert poll.problem() is None
    assert poll.age_s >= 0


def test_epochs_only_rise() -> None:
    table = Table()
    poll = poller(table)
    for epoch, in_force in [(2, 2), (1, 2), (5, 5)]:
        table.plan = plan(epoch)
        poll.poll()
        assert poll.current == plan(in_force)


def test_a_plan_that_cannot_be_followed_is_refused() -> None:
    good = plan(1)
    for bad in (
        plan(2, main="http://127.0.0.1:1/path"),
        plan(2, main="ftp://127.0.0.1:1"),
        plan(2, main="http://127.0.0.1:99999"),
        plan(2, main="http://user@127.0.0.1:1"),
        plan(2, main="http://127.0.0.1:1\r\nX: y"),
        plan(2, canary="http://127.0.0.1:1"),
        plan(2, canary="http://127.0.0.1:2", share=1.5),
        plan(2, canary="http://127.0.0.1:2", share=float("nan")),
    ):
        table = Table()
        table.plan = good
        poll = poller(table)
        poll.poll()
        table.plan = bad
        poll.poll()
        assert poll.current is good


def test_the_thread_looks_at_once_and_ends() -> None:
    table = Table()
    table.plan = plan(1)
    poll = poller(table)
    poll.start(5)
    assert poll.current == plan(1)
    poll.stop()
    assert poll.current == plan(1)
