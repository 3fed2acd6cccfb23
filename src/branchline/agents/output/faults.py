"""What kind of error a provider's answer is: one table for every agent, since all of them pass such texts on."""

import re

# What is more exact comes first, and what may stand in any sentence last.
CLASSES = (
    (
        "context_too_large",
        r"context.{0,20}(length|window|size)|prompt is too long|too many tokens|maximum context",
        r"input.?(is.?)?too.?(large|long)|request.?too.?large|token count.{0,30}exceeds",
    ),
    (
        "billing",
        r"insufficient.?quota|credit balance|billing|payment required|exceeded your current quota|usage limit",
        r"budgetexceeded",
    ),
    (
        "auth",
        r"\b401\b|\b403\b|unauthori[sz]ed|authenticat|auth (method|type)|not logged in|please run /login",
        r"(invalid|missing).{0,40}(api.?key|credentials)|api.?key.{0,40}(invalid|missing|not |must be)",
        r"token.{0,20}(expired|revoked)|permission.?denied(error|.{0,20}key)|missing environment variable",
        r"(requires an?|proceed without).{0,60}api.?key",
    ),
    (
        "unknown_model",
        r"model.{0,60}(not.?found|(does|may) not exist|unknown|not supported)|unknown.?model",
        r"provider not provided|notfounderror",
    ),
    ("rate_limit", r"\b429\b|rate.?limit|too many requests|resource.?exhausted"),
    ("overloaded", r"\b529\b|overloaded|\b503\b|service.?unavailable|high demand"),
    (
        "connection",
        r"connection.{0,12}(error|fail|refused|reset|closed|aborted|lost|timed)|unable to connect|econn|\benotfound\b",
        r"error sending request|fetch failed|stream (closed|disconnected|ended)|incomplete json",
    ),
    ("server_error", r"\b50[0-24]\b|internal.?server.?error|api_error|\.apierror|bad.?gateway|server_error"),
    ("bad_request", r"\b400\b|\b422\b|bad.?request|invalid.?request|unprocessable|unsupportedparams"),
    ("connection", r"network|timed? ?out"),
)
STATUS = {401: "auth", 402: "billing", 403: "auth", 404: "unknown_model", 413: "context_too_large", 429: "rate_limit"}


def error_class(text: str, status: int | None = None) -> str:
    """The class of an error from its HTTP status, if one is known, and its words; empty if neither tells.

    The words come first where they are more exact: a 429 may be a quota that no waiting mends, a 400 a full context.
    """
    lowered = text[:4000].lower()
    told = (name for name, *patterns in CLASSES if any(re.search(pattern, lowered) for pattern in patterns))
    found = next(told, "")
    if status is None or found in {"context_too_large", "billing"}:
        return found
    if status in STATUS:
        return STATUS[status]
    if status >= 500:
        return "overloaded" if status in {503, 529} else "server_error"
    return found or ("bad_request" if status >= 400 else "")
