"""Who may change anything: the bearer of the admin token, or a browser that was signed in with it.

The session is a signed cookie that no script can read and no other site can have sent; every form carries a
token made from it. Nothing is kept on the server, so a restart signs nobody out; a new admin token does.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from flask import Response, request
from itsdangerous import BadSignature, TimestampSigner
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized

from core.clock import MINUTE, SECOND, Clock

LASTS_S: Final = 8 * 3600
MAX_FAILURES: Final = 10  # in a minute, of all callers together


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in; `csrf` is what its forms must carry."""

    csrf: str


class _Signer(TimestampSigner):
    """Timestamps of our one clock."""

    def __init__(self, token: str, clock: Clock) -> None:
        super().__init__(
            token, salt="understudy session", digest_method=hashlib.sha256, key_derivation="hmac"
        )
        self._clock = clock

    def get_timestamp(self) -> int:
        return self._clock.now_ms() // SECOND


@dataclass(slots=True)
class Guard:
    """Knows the token; without one nothing may be changed over HTTP. `secure`: cookies travel over TLS only."""

    token: str
    clock: Clock
    secure: bool = False
    _failures: deque[int] = field(default_factory=deque)

    @property
    def cookie(self) -> str:
        return "__Host-understudy" if self.secure else "understudy"

    def check(self) -> None:
        """Let the request pass, or raise Unauthorized.

        Constant time in the token: a wrong one does not tell how much of it was right.
        """
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not (self._right(given.strip()) and scheme.lower() == "bearer"):
            raise Unauthorized(
                "this changes a release: send the admin token as `Authorization: Bearer ...`"
                if self.token
                else "this control plane has no admin token (UNDERSTUDY_CONTROL_TOKEN): it only shows"
            )

    def session(self) -> Session | None:
        """The session of the request; None without one, or with one that is forged or over."""
        value = request.cookies.get(self.cookie, "")
        if not self.token or not value:
            return None
        try:
            name = self._signer().unsign(value, max_age=LASTS_S)
        except BadSignature:
            return None
        return Session(hmac.new(self.token.encode(), b"csrf " + name, hashlib.sha256).hexdigest())

    def sign_in(self, given: str, response: Response) -> Response:
        """Give the browser a session for the right token.

        Raises:
            Unauthorized: a wrong one. TooManyRequests: too many were wrong within a minute.
        """
        self._slow_down()
        if not self._right(given.strip()):
            self._failures.append(self.clock.now_ms())
            raise Unauthorized("this is not the admin token")
        value = self._signer().sign(secrets.token_urlsafe(16)).decode()
        response.set_cookie(
            self.cookie,
            value,
            max_age=LASTS_S,
            httponly=True,
            samesite="Strict",
            secure=self.secure,
            path="/",
        )
        return response

    def sign_out(self, response: Response) -> Response:
        response.delete_cookie(self.cookie, httponly=True, samesite="Strict", secure=self.secure, path="/")
        return response

    def check_form(self) -> Session:
        """The session of a form that one of our own pages has sent.

        Raises:
            Unauthorized: not signed in. Forbidden: sent by another page.
        """
        self.check_origin()
        session = self.session()
        if session is None:
            raise Unauthorized("you are not signed in, or not any more: sign in and try again")
        if not hmac.compare_digest(request.form.get("csrf", "").encode(), session.csrf.encode()):
            raise Forbidden("this form was not made for your session: open the page again")
        return session

    @staticmethod
    def check_origin() -> None:
        """Refuse what a browser says another site has sent."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise Forbidden("this was sent by another site")

    def _right(self, given: str) -> bool:
        return bool(self.token) and hmac.compare_digest(given.encode(), self.token.encode())

    def _signer(self) -> _Signer:
        return _Signer(self.token, self.clock)

    def _slow_down(self) -> None:
        since_ms = self.clock.now_ms() - MINUTE
        while self._failures and self._failures[0] <= since_ms:
            self._failures.popleft()
        if len(self._failures) >= MAX_FAILURES:
            raise TooManyRequests("too many wrong tokens: wait a minute", retry_after=MINUTE // SECOND)
