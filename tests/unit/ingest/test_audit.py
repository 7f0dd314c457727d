from dataclasses import replace

import msgspec

from ingest.audit import AuditReport, PartitionAudit
from storage.event_log import TopicPartition
from storage.offsets import StoredOffsets
from storage.progress import Progress

# 10 offsets: 6 stored, 2 duplicates (offsets 3 and 4), 1 dead letter, 1 tombstone (offset 9).
SOUND = PartitionAudit(
    where=TopicPartition("t", 0),
    log_end=12,
    account=Progress(0, 10, stored=6, duplicates=2, dead=1, tombstones=1),
    found=StoredOffsets(interactions=6, event_ids=6, dead_letters=1),
    without_row=((3, 4), (9, 9)),
)


def test_a_sound_partition_is_clean_and_what_waits_is_not_lost() -> None:
    assert (SOUND.clean, SOUND.lost, SOUND.duplicated, SOUND.waiting) == (True, 0, 0, 2)
    assert SOUND.sentence().endswith("2 waiting; 0 lost, 0 duplicated")
    assert SOUND.as_json()["gaps"] == []


def test_a_missing_row_is_lost_and_its_place_is_named() -> None:
    broken = replace(
        SOUND, found=replace(SOUND.found, interactions=5, event_ids=5), without_row=((3, 4), (6, 6), (9, 9))
    )
    assert (broken.clean, broken.lost) == (False, 1)
    assert "3 to 4, 6, 9 (of them 3 are duplicates, tombstones or removed)" in broken.sentence()
    assert broken.as_json()["gaps"] == [[3, 4], [6, 6], [9, 9]]


def test_offsets_that_the_log_skipped_are_lost() -> None:
    trimmed = replace(
        SOUND,
        account=replace(SOUND.account, stored=4, skipped=2),
        found=StoredOffsets(4, 4, 0, 1),
        without_row=((0, 1), (3, 4), (9, 9)),
    )
    assert (trimmed.clean, trimmed.lost) == (False, 2)


def test_rows_that_were_removed_on_purpose_are_neither_lost_nor_expected() -> None:
    removed = replace(
        SOUND,
        account=replace(SOUND.account, removed=2),
        found=replace(SOUND.found, interactions=4, event_ids=4),
        without_row=((0, 1), (3, 4), (9, 9)),
    )
    assert (removed.clean, removed.lost, removed.duplicated) == (True, 0, 0)
    assert "2 removed since" in removed.sentence()
    back = replace(removed, found=SOUND.found, without_row=SOUND.without_row)
    assert (back.clean, back.duplicated) == (False, 2)


def test_a_row_too_many_and_a_second_row_of_an_event_are_duplicated() -> None:
    assert replace(SOUND, found=replace(SOUND.found, interactions=7, event_ids=7)).duplicated == 1
    assert replace(SOUND, found=replace(SOUND.found, event_ids=5)).duplicated == 1
    assert replace(SOUND, found=replace(SOUND.found, dead_letters=2)).duplicated == 1


def test_an_account_beyond_the_log_belongs_to_another_log() -> None:
    other = replace(SOUND, log_end=9)
    assert not other.clean
    assert "another event log" in other.sentence()


def test_the_report_adds_up_and_is_json() -> None:
    report = AuditReport((SOUND, replace(SOUND, where=TopicPartition("t", 1))))
    assert report.clean
    assert report.sentences()[-1] == "clean: 0 lost, 0 duplicated, 4 waiting"
    assert msgspec.json.decode(msgspec.json.encode(report.as_json()))["waiting"] == 4
