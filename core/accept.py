"""What an Accept header asks for, where an answer comes as JSON or as plain text."""

from __future__ import annotations


def prefers_text(accept: bytes) -> bool:
    """Whether an Accept header ranks text/plain above application/json (RFC 9110, section 12.5.1)."""
    if b"text/" not in accept.lower():
        return False
    ranks: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        ranks[media] = _quality(parameters)
    text = _rank(ranks, "text/plain", "text/*")
    return text > 0 and text > _rank(ranks, "application/json", "application/*")


def _rank(ranks: dict[str, float], *names: str) -> float:
    return next((ranks[name] for name in (*names, "*/*") if name in ranks), 0.0)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
