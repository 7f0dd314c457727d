"""What changes state: the admin API for programs, and forms for a browser that is signed in."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.wrappers import Response as AnyResponse

from core.clock import Clock
from load_balancer.control.asks import ASKS, UNSAID, Ask, write
from load_balancer.control.session import Guard
from storage.database import Database


class _Reason(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


def admin_api(database: Database, clock: Clock, guard: Guard) -> Blueprint:
    """POST /api/releases/ID/{abort,pause,resume,promote} with the token, and the forms of the pages."""
    api = Blueprint("admin", __name__)

    @api.post(f"/api/releases/<release_id>/<any({','.join(ASKS)}):what>")
    def ask(release_id: str, what: str) -> Response:
        guard.check()
        reason = _reason()
        write(database, clock, Ask(release_id, what, reason))
        answer = {"release_id": release_id, "asked": what, "reason": reason.strip() or UNSAID}
        return Response(msgspec.json.encode(answer), 202, content_type="application/json")

    @api.post(f"/releases/<release_id>/<any({','.join(ASKS)}):what>")
    def ask_by_form(release_id: str, what: str) -> AnyResponse:
        guard.check_form()
        write(database, clock, Ask(release_id, what, request.form.get("reason", "")))
        return redirect(url_for("release", release_id=release_id), 303)

    @api.get("/signin")
    def sign_in_page() -> str:
        return render_template("signin.html", back=request.args.get("back", ""), wrong="")

    @api.post("/signin")
    def sign_in() -> AnyResponse:
        guard.check_origin()
        response = redirect(_back(request.form.get("back", "")), 303)
        return guard.sign_in(request.form.get("token", ""), response)  # type: ignore[arg-type]

    @api.post("/signout")
    def sign_out() -> AnyResponse:
        guard.check_form()
        return guard.sign_out(redirect(url_for("releases"), 303))  # type: ignore[arg-type]

    return api


def _back(release_id: str) -> str:
    """Only ever one of our own pages, whatever the form says."""
    return url_for("release", release_id=release_id) if release_id else url_for("releases")


def _reason() -> str:
    body = request.get_data()
    if not body:
        return ""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType('send JSON, as in {"reason": "..."}')
    try:
        return msgspec.json.decode(body, type=_Reason).reason
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"not a reason: {error}") from None
