"""The API described to those who make requests from descriptions: what it allows is taken, the rest refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection

from load_balancer import openapi
from tests.serving import open_stage

# That a time may not lie ahead is said in words: no JSON schema can say it.
PAST = st.datetimes(datetime(1970, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
schemathesis.openapi.format("date-time", PAST.map(lambda time: time.isoformat()))
api = schemathesis.openapi.from_dict(openapi.document("0"))
slow = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A load balancer with both arms behind it."""
    with open_stage(tmp_path_factory.mktemp("openapi")) as stage:
        stage.publish(stage.arm("v1"), stage.arm("v2"))
        yield stage.balancer().url


def keeps_its_word(case: schemathesis.Case, url: str) -> None:
    answer = case.call(base_url=url)
    if answer.status_code == 414:  # which no schema of one parameter can say
        assert len(answer.request.path_url) > 4_000
        return
    partly = answer.status_code == 202 and bool(answer.json()["rejected"])
    # A list is taken event by event: what the schema does not allow is named in the receipt.
    case.validate_response(answer, excluded_checks=[negative_data_rejection] if partly else [])


@api.parametrize()
@settings(max_examples=10, **slow)
def test_every_operation_keeps_its_word(case: schemathesis.Case, url: str) -> None:
    keeps_its_word(case, url)


@pytest.mark.long
@pytest.mark.timeout(3_000)
@api.parametrize()
@settings(max_examples=300, **slow)
def test_every_operation_keeps_its_word_at_length(case: schemathesis.Case, url: str) -> None:
    keeps_its_word(case, url)
