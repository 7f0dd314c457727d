"""A plan as HAProxy's configuration: the salt, the share and the testers in it, and what is refused."""

import msgspec
import pytest

from core.errors import InvalidInputError
from core.traffic import TrafficPlan, Upstream
from load_balancer.haproxy import Options, configuration

OPTIONS = Options("127.0.0.1:8080", 600, 2_000)
PLAN = TrafficPlan(
    epoch=7,
    created_ms=0,
    main=Upstream(version="v1", bundle_digest="sha256:1", url="http://127.0.0.1:9001"),
    canary=Upstream(version="v2", bundle_digest="sha256:2", url="http://127.0.0.1:9002"),
    share=0.25,
    salt="a1b2",
)


def changed(**given: object) -> str:
    return configuration(msgspec.structs.replace(PLAN, **given), OPTIONS)


def test_salt_and_share_are_in_it() -> None:
    text = changed()
    assert "str(a1b2:),concat(,txn.user),sha2(256),bytes(0,4),be2dec(,4)" in text
    assert f"-m int lt {2**30}\n" in text
    assert text.startswith("# Traffic plan 7: main v1, canary v2 for 25.0000%\n")


def test_many_testers_are_spread_over_lines_that_haproxy_takes() -> None:
    lines = changed(overrides={f"tester-{i}": "canary" for i in range(120)}).splitlines()
    forced = [line.split() for line in lines if "acl is_forced_canary" in line]
    assert sum(len(words) - 5 for words in forced) == 120
    assert max(map(len, forced)) <= 64


def test_without_a_canary_nobody_is_hashed_or_forced() -> None:
    text = changed(canary=None, overrides={"tester": "canary"})
    assert "sha2" not in text
    assert "tester" not in text
    assert "server canary" not in text


@pytest.mark.parametrize(
    "given",
    [
        {"salt": "a)b"},
        {"salt": "a b"},
        {"salt": "a\nb"},
        {"overrides": {"a b": "canary"}},
        {"overrides": {"-i": "canary"}},
        {"share": 1.5},
    ],
)
def test_what_cannot_be_written_down_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        changed(**given)


@pytest.mark.parametrize("url", ["http://a b:80", "http://host", "https://127.0.0.1:1", "127.0.0.1:80"])
def test_a_load_balancer_without_an_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        configuration(PLAN, Options("127.0.0.1:8080", 600, 2_000, [url]))


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:80 ssl", "127.0.0.1", ":8080\nfrontend x", "host:port", ":65536"]
)
def test_an_address_to_listen_on_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(InvalidInputError, match="listen"):
        configuration(PLAN, Options(listen, 600, 2_000))
