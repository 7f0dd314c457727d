import pytest

from core.errors import InvalidSettingError
from ingest.settings import IngestSettings


def test_the_two_topics_of_the_platform_are_always_read() -> None:
    assert IngestSettings().kinds == {"user_interactions": "events", "recommendation_exposures": "exposures"}


def test_further_topics_are_mapped_to_kinds() -> None:
    kinds = IngestSettings.load(topics="views=view, kafka_log=log_lines").kinds
    assert (kinds["views"], kinds["kafka_log"]) == ("view", "log_lines")


@pytest.mark.parametrize("topics", ["views", "views=watch", "=view", "a=view,a=like"])
def test_a_wrong_mapping_is_refused_by_name(topics: str) -> None:
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_INGEST_TOPICS"):
        IngestSettings.load(topics=topics)


def test_retries_must_grow() -> None:
    with pytest.raises(InvalidSettingError, match="UNDERSTUDY_INGEST_RETRY_FIRST_MS"):
        IngestSettings.load(retry_first_ms=500, retry_most_ms=100)
