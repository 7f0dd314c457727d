"""A traffic plan as a configuration of HAProxy (2.6 or newer) that gives every viewer the arm we would give.

HAProxy then carries `/recommend` and the lookups to the arms by itself. It records no exposures: an online
evaluation needs our load balancers. What it cannot do, `POST /events`, goes on to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from core.errors import InvalidInputError
from core.ids import MAX_ID_LENGTH, check_id, check_version
from core.problems import PROBLEM_JSON
from core.traffic import Arm, TrafficPlan, Upstream
from load_balancer.arms import address, check_plan
from load_balancer.assignment import canary_buckets

# Words of a salt that need no quoting in any place of a configuration; ours are hexadecimal.
_SALT: Final = re.compile(r"[A-Za-z0-9_.-]{0,200}")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:-]+")
_LISTEN: Final = re.compile(r"([A-Za-z0-9_.-]*|\*|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")
_NOT_HERE: Final = '{"title":"Not Found","status":404,"detail":"no load balancer is behind this proxy"}'
LAST_PORT: Final = 65_535
ON_A_LINE: Final = 50  # HAProxy takes 64 words a line

_TEMPLATE: Final = Template("""\
# Traffic plan $epoch: $summary
# Made by `understudy haproxy`; make it again whenever the plan changes.
global
    maxconn $connections

defaults
    mode http
    timeout client 5s
    timeout http-request 5s
    timeout http-keep-alive 5s
    timeout connect ${connect_ms}ms
    timeout server ${attempt_ms}ms
    timeout queue ${attempt_ms}ms
    # One attempt more, and always at the other arm: the one that has just failed is passed over.
    option redispatch 1
    retries 1
    retry-on conn-failure empty-response junk-response response-timeout 500 502 503 504
    http-error status 503 content-type $problem_json string '{"title":"Service Unavailable","status":503,"detail":"no arm answers"}' hdr Retry-After 1

frontend viewers
    bind $listen
    # Nothing that a client says about itself or about us is believed.
    http-request del-header x-forwarded- -m beg
    http-request del-header x-understudy- -m beg
    http-request del-header forwarded
    acl is_recommend path_beg /recommend/
    acl is_lookup path /search /trending
    acl is_lookup path_reg ^/videos/[^/]+/similar$$
    acl is_list_method method GET HEAD
    http-request return status 405 content-type $problem_json string '{"title":"Method Not Allowed","status":405,"detail":"only GET and HEAD are taken here"}' hdr Allow 'GET, HEAD' if is_recommend !is_list_method
    http-request set-var(txn.user) path,url_dec,regsub(^/recommend/,) if is_recommend
    acl is_no_user var(txn.user),length lt 1
    acl is_no_user var(txn.user),length gt $longest
    acl is_no_user var(txn.user) -m reg [^A-Za-z0-9_.:@~-]
    acl is_no_user var(txn.user) -m reg ^[^A-Za-z0-9]
    http-request return status 400 content-type $problem_json string '{"title":"Bad Request","status":400,"detail":"the user id is none"}' if is_recommend is_no_user
    # Written anew from what was checked, as our load balancer does.
    http-request set-path /recommend/%[var(txn.user)] if is_recommend
    http-request set-header X-Understudy-Request-Id %[uuid] if { var(txn.user) -m found }
$assignment
    http-response set-header X-Understudy-Assigned %[var(txn.arm)] if { var(txn.arm) -m found }
    http-response set-header X-Understudy-Arm %[srv_name] if { var(txn.arm) -m found }
    use_backend canary_first if is_recommend { var(txn.arm) -m str canary }
    use_backend main_first if is_recommend or is_lookup
    default_backend balancers

$backends""")


@dataclass(frozen=True, slots=True)
class Options:
    """`listen` is host:port; deadline and limit are those of our load balancers.

    `balancers` are the URLs of load balancers of ours, for what HAProxy passes on.
    """

    listen: str
    attempt_ms: int
    connections: int
    balancers: Sequence[str] = ()


def configuration(plan: TrafficPlan, options: Options) -> str:
    """The whole file.

    Raises:
        InvalidInputError: the plan cannot be followed, or something in it or in `options` cannot be written down.
    """
    check_plan(plan)
    if not _SALT.fullmatch(plan.salt):
        raise InvalidInputError(f"salt {plan.salt[:40]!r} has more than letters, digits, _, . and -")
    if not _LISTEN.fullmatch(options.listen) or int(options.listen.rpartition(":")[2]) > LAST_PORT:
        raise InvalidInputError(f"listen {options.listen[:40]!r} is not host:port")
    canary = check_version(plan.canary.version) if plan.canary else "nobody"
    return _TEMPLATE.substitute(
        epoch=plan.epoch,
        summary=f"main {check_version(plan.main.version)}, canary {canary} for {plan.share:.4%}",
        listen=options.listen,
        connections=options.connections,
        connect_ms=max(options.attempt_ms // 3, 1),
        attempt_ms=options.attempt_ms,
        problem_json=PROBLEM_JSON,
        longest=MAX_ID_LENGTH,
        assignment="\n".join(f"    {line}" for line in _assignment(plan)),
        backends="\n".join(_backends(plan, options)),
    )


def _assignment(plan: TrafficPlan) -> Iterator[str]:
    """The lines that say in `txn.arm` what `assignment.assign` says."""
    yield "http-request set-var(txn.arm) str(main) if is_recommend"
    if plan.canary is None:
        return
    # The first four bytes of the digest as an unsigned number; `str` and `concat` make "salt:user".
    digest = f"str({plan.salt}:),concat(,txn.user),sha2(256),bytes(0,4),be2dec(,4)"
    yield f"http-request set-var(txn.bucket) {digest} if is_recommend"
    yield f"acl is_canary_bucket var(txn.bucket) -m int lt {canary_buckets(plan.share)}"
    yield "http-request set-var(txn.arm) str(canary) if is_recommend is_canary_bucket"
    arms: tuple[Arm, ...] = ("main", "canary")
    for arm in arms:
        forced = [check_id("user_id", user) for user, to in plan.overrides.items() if to == arm]
        for first in range(0, len(forced), ON_A_LINE):
            yield f"acl is_forced_{arm} var(txn.user) -m str {' '.join(forced[first : first + ON_A_LINE])}"
        if forced:
            yield f"http-request set-var(txn.arm) str({arm}) if is_recommend is_forced_{arm}"


def _backends(plan: TrafficPlan, options: Options) -> Iterator[str]:
    main, canary = ("main", plan.main), ("canary", plan.canary)
    yield from _backend("main_first", [main, canary])
    yield from _backend("canary_first", [canary, main])
    yield "backend balancers"
    if not options.balancers:
        yield f"    http-request return status 404 content-type {PROBLEM_JSON} string '{_NOT_HERE}'"
    for number, url in enumerate(options.balancers, 1):
        yield f"{_server(f'balancer{number}', url)} check"
    yield ""


def _backend(name: str, arms: Iterable[tuple[str, Upstream | None]]) -> Iterator[str]:
    yield f"backend {name}"
    yield "    # The first that is well; the other only where it is not."
    yield "    balance first"
    yield "    option httpchk GET /readyz"
    yield "    http-check expect status 200"
    yield "    default-server check inter 1s fall 3 rise 2"
    for place, (arm, upstream) in enumerate(arms, 1):
        if upstream is not None:
            yield f"{_server(arm, upstream.url)} id {place}"
    yield ""


def _server(name: str, url: str) -> str:
    host, port = address(url)
    if not _HOST.fullmatch(host):
        raise InvalidInputError(f"host {host[:40]!r} cannot be written into a configuration")
    return f"    server {name} {f'[{host}]' if ':' in host else host}:{port}"
