"""What is remembered of each viewer, and the whole-number sums that everything is computed from.

A tally holds one or more lanes: independent releases of equal audience, laid end to end. The platform has
one lane; the simulator runs hundreds at once through the same code. Viewer `v` belongs to lane
`v // lane_viewers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from deploy.evaluation.evidence import Floats, log_ratio_step, ratio_grid
from deploy.evaluation.looks import Before, Bools, Ints, Matured, Served
from deploy.evaluation.plan import ReleasePlan

FIRST_SUCCESS = 0  # bit and index of the harm process; the guardrails follow in the plan's order
COVARIATE_UNIT = 1024  # the covariate is kept in whole 1/1024, so that its sums are exact
MOST_VIEWERS = 2**31
_BLOCK = 16_384  # viewers whose products are formed at once
_DENSE = 4  # keys up to so many times their number are told apart by a table, others by sorting


@dataclass(frozen=True, slots=True, eq=False)
class Processes:
    """The conditional-binomial processes of a plan: first successes, then each guardrail."""

    ratio: Floats  # (processes, points)
    null_ratio: Floats  # (processes, 1)

    @classmethod
    def of(cls, plan: ReleasePlan) -> Processes:
        grid = ratio_grid(plan.ratio_smallest, plan.ratio_largest, plan.ratio_points)
        null = np.array([[1.0], *([guardrail.ratio] for guardrail in plan.guardrails)])
        return cls(np.vstack([1 / grid, *(guardrail.ratio * grid for guardrail in plan.guardrails)]), null)


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """The rows of one look by viewer, then stage and arm (cell), each combination once.

    `of_row` says for each row which group it is in.
    """

    viewer: Ints
    cell: Ints
    requests: Ints
    of_row: NDArray[np.intp]

    def at_risk(self, risked: NDArray[np.int32], most: int) -> Ints:
        """How many of each group's requests are among their viewer's first `most`; counts them in `risked`."""
        first = np.diff(self.viewer, prepend=-1) > 0
        before = np.cumsum(self.requests) - self.requests  # of all earlier groups
        earlier = before - before[first][np.cumsum(first) - 1] + risked[self.viewer]
        counted: Ints = np.clip(most - earlier, 0, self.requests)
        np.add.at(risked, self.viewer, counted.astype(np.int32))
        return counted


class Tally:
    """Sums of one or more lanes; grows with the largest viewer where there is one lane."""

    def __init__(self, plan: ReleasePlan, lanes: int = 1, lane_viewers: int = MOST_VIEWERS) -> None:
        stages, processes = len(plan.ramp), 1 + len(plan.guardrails)
        viewers = lanes * lane_viewers if lanes > 1 else 0
        self.plan = plan
        self.lanes = lanes
        self.lane_viewers = lane_viewers
        self.cells = 2 * stages
        self.processes = Processes.of(plan)
        # by viewer
        self.counts: NDArray[np.int32] = np.zeros((viewers, 2 * self.cells), np.int32)
        self.covariate: NDArray[np.int16] = np.zeros(viewers, np.int16)
        self.covaries = False  # whether any viewer has a history
        self.arms: NDArray[np.uint8] = np.zeros(viewers, np.uint8)  # bit 0: matured in main, 1: in the canary
        self.happened: NDArray[np.uint16] = np.zeros(viewers, np.uint16)
        self.risked_matured: NDArray[np.int32] = np.zeros(viewers, np.int32)  # requests, up to the plan's cap
        self.risked_served: NDArray[np.int32] = np.zeros(viewers, np.int32)
        self.last_stage: NDArray[np.int8] = np.zeros(viewers, np.int8)
        self.in_canary: Bools = np.zeros(viewers, np.bool_)
        self.changed_arm: Bools = np.zeros(viewers, np.bool_)
        # by lane
        self.sums: Floats = np.zeros((lanes, 3, stages, 2))
        self.moments: Floats = np.zeros((lanes, 3 * self.cells, 3 * self.cells))
        self.viewers: Ints = np.zeros((lanes, 2), np.int64)
        self.exposures: Ints = np.zeros((lanes, processes, 2), np.int64)
        self.events: Ints = np.zeros((lanes, processes, 2), np.int64)
        self.log_ratios: Floats = np.zeros((lanes, processes, plan.ratio_points))
        self.first_seen: Ints = np.zeros((lanes, stages + 1, stages, 2), np.int64)
        self.arm_changes: Ints = np.zeros(lanes, np.int64)

    def add(self, before: Before, matured: Matured, served: Served) -> None:
        """Take in the rows of one look."""
        exposures = np.zeros_like(self.exposures)
        events = np.zeros_like(self.events)
        self._add_before(before)
        self._add_matured(matured, exposures, events)
        self._add_served(served, exposures, events)
        self.exposures += exposures
        self.events += events
        self.log_ratios += log_ratio_step(exposures, events, self.processes.ratio, self.processes.null_ratio)

    def _grow(self, viewer: Ints) -> None:
        size = int(viewer.max()) + 1 if viewer.size else 0
        have = self.counts.shape[0]
        if size <= have:
            return
        if self.lanes > 1:
            raise InvalidInputError(f"viewer {size - 1} belongs to none of {self.lanes} lanes")
        more = max(size, have + have // 2) - have
        self.counts = np.vstack([self.counts, np.zeros((more, 2 * self.cells), np.int32)])
        self.covariate = np.append(self.covariate, np.zeros(more, np.int16))
        self.arms = np.append(self.arms, np.zeros(more, np.uint8))
        self.happened = np.append(self.happened, np.zeros(more, np.uint16))
        self.risked_matured = np.append(self.risked_matured, np.zeros(more, np.int32))
        self.risked_served = np.append(self.risked_served, np.zeros(more, np.int32))
        self.last_stage = np.append(self.last_stage, np.zeros(more, np.int8))
        self.in_canary = np.append(self.in_canary, np.zeros(more, np.bool_))
        self.changed_arm = np.append(self.changed_arm, np.zeros(more, np.bool_))

    def _cell(self, stage: Ints, canary: Bools) -> Ints:
        """Position of a stage and arm; refuses a stage that the plan does not have."""
        if stage.size and int(stage.max()) > len(self.plan.ramp):
            raise InvalidInputError(
                f"a row of stage {int(stage.max())}, but the plan's ramp has {len(self.plan.ramp)}"
            )
        return 2 * (stage - 1) + canary

    def _add_before(self, before: Before) -> None:
        """The covariate, less the prior mean: 0 for a viewer without a history."""
        if not before.viewer.size or not self.plan.cuped:
            return
        self._grow(before.viewer)
        a, m = self.plan.cuped_successes, self.plan.cuped_requests
        x = (before.successes + a) / (before.requests + m) - a / m
        new = self.arms[before.viewer] == 0
        self.covariate[before.viewer[new]] = np.rint(COVARIATE_UNIT * x[new]).astype(np.int16)
        self.covaries = True

    def _add_matured(self, rows: Matured, exposures: Ints, events: Ints) -> None:
        groups, row = self._group(rows)
        if not groups.viewer.size:
            return
        successes = _totals(groups.of_row, rows.successes[row], groups.viewer.size)
        at_risk = groups.at_risk(self.risked_matured, self.plan.first_success_requests)
        self._add_process(FIRST_SUCCESS, groups, at_risk, np.flatnonzero(successes), exposures, events)
        self._count_viewers(groups.viewer, groups.cell % 2)
        present, place = _distinct(groups.cell)
        owner = np.cumsum(np.diff(groups.viewer, prepend=-1) > 0) - 1
        added = np.zeros((int(owner[-1]) + 1, 2 * present.size))
        added[owner, place] = groups.requests
        added[owner, present.size + place] = successes
        viewer = groups.viewer[np.diff(groups.viewer, prepend=-1) > 0]
        for start in range(0, viewer.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            self._add_products(viewer[block], present, added[block])

    def _group(self, rows: Matured | Served) -> tuple[_Groups, NDArray[np.intp]]:
        """The rows by viewer, stage and arm, without those outside the ramp; and which rows they are."""
        row = np.flatnonzero((rows.stage > 0) & (rows.requests > 0))
        self._grow(rows.viewer)
        cell = self._cell(rows.stage[row], rows.canary[row])
        key, of_row = _distinct(rows.viewer[row] * self.cells + cell)
        requests = _totals(of_row, rows.requests[row], key.size)
        return _Groups(key // self.cells, key % self.cells, requests, of_row), row

    def _count_viewers(self, viewer: Ints, arm: Ints) -> None:
        """Viewers with a matured request in each arm; one who changes with the ramp counts in both."""
        new = np.flatnonzero(self.arms[viewer] >> arm & 1 == 0)
        key, _ = _distinct(2 * viewer[new] + arm[new])
        np.add.at(self.viewers, (key // 2 // self.lane_viewers, key % 2), 1)
        np.bitwise_or.at(self.arms, key // 2, (1 << key % 2).astype(np.uint8))

    def _add_products(self, viewer: Ints, present: Ints, added: Floats) -> None:
        """Sums and moments. With z what was counted of a viewer and d what is added to it,

        (z + d)(z + d)' - zz' = dz' + zd' + dd', and d is zero outside the cells present.
        """
        columns = np.concatenate([present, self.cells + present])
        known = np.arange(2 * self.cells)
        counts = self.counts[viewer]
        z = counts.astype(np.float64)
        counts[:, columns] += added.astype(np.int32)
        self.counts[viewer] = counts
        if self.covaries:
            x = self.covariate[viewer].astype(np.float64)[:, None]
            columns = np.concatenate([columns, 2 * self.cells + present])
            known = np.arange(3 * self.cells)
            z = np.hstack([z, z[:, : self.cells] * x])
            added = np.hstack([added, added[:, : present.size] * x])
        across = np.zeros((self.lanes, columns.size, known.size))
        within = np.zeros((self.lanes, columns.size, columns.size))
        sums = np.zeros((self.lanes, columns.size))
        bounds = np.searchsorted(viewer, self.lane_viewers * np.arange(self.lanes + 1))
        for lane in np.flatnonzero(np.diff(bounds)):
            d, known_z = added[bounds[lane] : bounds[lane + 1]], z[bounds[lane] : bounds[lane + 1]]
            across[lane], within[lane], sums[lane] = d.T @ known_z, d.T @ d, d.sum(0)
        self.moments[:, columns[:, None], known] += across
        self.moments[:, known[:, None], columns] += across.swapaxes(1, 2)
        self.moments[:, columns[:, None], columns] += within
        self.sums.reshape(self.lanes, -1)[:, columns] += sums

    def _add_served(self, rows: Served, exposures: Ints, events: Ints) -> None:
        groups, row = self._group(rows)
        if not groups.viewer.size:
            return
        at_risk = groups.at_risk(self.risked_served, self.plan.guardrail_requests)
        for number, rail in enumerate(self.plan.guardrails, FIRST_SUCCESS + 1):
            if rail.name in rows.events:
                hit, _ = _distinct(groups.of_row[rows.events[rail.name][row] > 0])
                self._add_process(number, groups, at_risk, hit, exposures, events)
        self._add_first_seen(groups.viewer, groups.cell)

    def _add_process(
        self,
        number: int,
        groups: _Groups,
        at_risk: Ints,
        hit: NDArray[np.intp],
        exposures: Ints,
        events: Ints,
    ) -> None:
        """Exposures of viewers still at risk, and one event per viewer: the one in the earliest stage.

        `at_risk` counts requests by group, `hit` are the groups with an event.
        """
        gone = self.happened[groups.viewer] >> number & 1
        lane = groups.viewer // self.lane_viewers
        by_arm = np.bincount(2 * lane + groups.cell % 2, at_risk * (1 - gone), 2 * self.lanes)
        exposures[:, number] += by_arm.astype(np.int64).reshape(self.lanes, 2)
        hit = hit[(gone[hit] == 0) & (at_risk[hit] > 0)]
        first = hit[np.diff(groups.viewer[hit], prepend=-1) > 0]
        np.add.at(events[:, number], (lane[first], groups.cell[first] % 2), 1)
        self.happened[groups.viewer[first]] |= 1 << number

    def _add_first_seen(self, viewer: Ints, cell: Ints) -> None:
        """Sample ratio: where a viewer went at the first request in a stage, unless already in the canary."""
        stage, arm = cell // 2 + 1, cell % 2
        news = np.flatnonzero((self.last_stage[viewer] < stage) | (self.in_canary[viewer] != arm))
        viewer, stage, arm = viewer[news], stage[news], arm[news]
        for number in _distinct(stage)[0]:
            here = stage == number
            key, _ = _distinct(2 * viewer[here] + arm[here])
            self._add_first_seen_in(int(number), key // 2, key % 2)

    def _add_first_seen_in(self, stage: int, viewer: Ints, arm: Ints) -> None:
        """One stage; viewers in order, each once per arm. Of two arms at once the canary counts."""
        last = np.append(viewer[1:] != viewer[:-1], True)
        self._count_arm_changes(viewer[(self.in_canary[viewer] & (arm == 0)) | ~last])
        tested = last & ~self.in_canary[viewer] & (self.last_stage[viewer] < stage)
        who, where = viewer[tested], arm[tested]
        where_from = self.last_stage[who].astype(np.int64)
        np.add.at(self.first_seen[:, :, stage - 1], (who // self.lane_viewers, where_from, where), 1)
        self.in_canary[viewer[arm == 1]] = True
        self.last_stage[viewer] = np.maximum(self.last_stage[viewer], stage).astype(np.int8)

    def _count_arm_changes(self, viewer: Ints) -> None:
        """Viewers of the canary that were seen in main again, each once: the plan forbids it."""
        new = viewer[~self.changed_arm[viewer]]
        np.add.at(self.arm_changes, new // self.lane_viewers, 1)
        self.changed_arm[new] = True


def _distinct(keys: Ints) -> tuple[Ints, NDArray[np.intp]]:
    """The distinct keys in order, and which of them each is: `np.unique`, without a sort where keys are dense."""
    largest = int(keys.max()) if keys.size else 0
    if largest > _DENSE * keys.size:
        return np.unique(keys, return_inverse=True)
    there = np.zeros(largest + 1, np.bool_)
    there[keys] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[keys]


def _totals(place: NDArray[np.intp], counted: Ints, size: int) -> Ints:
    """Sums of whole numbers by place: exact in floats below 2^53."""
    return np.bincount(place, counted, size).astype(np.int64)
