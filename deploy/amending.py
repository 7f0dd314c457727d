"""Changes of the traffic plan in force that are no step of a release."""

from __future__ import annotations

from collections.abc import Callable

from core.clock import Clock
from core.errors import ConflictError, RefusedError
from core.ids import check_id
from core.traffic import Arm, TrafficPlan
from deploy import plans
from storage.database import Database
from storage.releases import current_plan, publish_plan

Change = Callable[[TrafficPlan], TrafficPlan]


def plan_in_force(database: Database) -> TrafficPlan:
    """The traffic plan.

    Raises:
        RefusedError: there is none yet.
    """
    with database.read() as connection:
        plan = current_plan(connection)
    if plan is None:
        raise RefusedError("there is no main yet: start a release first")
    return plan


def amend(database: Database, change: Change) -> TrafficPlan:
    """Put in force what `change` makes of the plan; where a release was first, of the plan that it published.

    Raises:
        RefusedError: there is no plan yet.
    """
    while True:
        plan = change(plan_in_force(database))
        try:
            with database.begin() as connection:
                publish_plan(connection, plan)
        except ConflictError:
            continue
        return plan


def force(database: Database, clock: Clock, user_id: str, arm: Arm | None) -> TrafficPlan:
    """Give one viewer, a tester, this arm whenever somebody plays canary; None: the arm it is assigned.

    A tester's exposures are marked, and count in no evaluation.

    Raises:
        InvalidInputError: the user id is none. RefusedError: there is no plan yet.
    """
    check_id("user_id", user_id)
    return amend(database, lambda plan: plans.with_tester(plan, user_id, arm, now_ms=clock.now_ms()))
