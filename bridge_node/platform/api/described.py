"""What the OpenAPI document says beyond the routes themselves."""

from typing import Any

ABOUT = """\
Organisations, what they store where, the keys that open it, and the nodes that serve it.

People call with `Authorization: Bearer TOKEN`: `bridge-node platform token` prints one, or an issuer of yours does.
Answers are JSON; a refusal is `{"success": false, "message": "…"}`, with `error_code` where there is one. Times are
ISO 8601 in UTC, sums of bytes are decimal strings. Query parameters that are empty, `undefined` or `null` are not
given; lists are written with commas or by repetition.
"""

TAGS: list[dict[str, Any]] = [
    {"name": "workspaces", "description": "Parts of an organisation, and who may READ, WRITE or ADMIN them."},
    {"name": "buckets", "description": "Buckets and containers at providers; never with a secret."},
    {"name": "provider keys", "description": "Credentials of accounts at providers, which buckets share."},
    {"name": "repositories", "description": "What applications address: buckets, and the protocol of their clients."},
    {"name": "repository keys", "description": "What applications sign with. Secrets are shown once."},
    {"name": "organisations", "description": "The caller's own organisation."},
    {"name": "organisation keys", "description": "What nodes enrol with. The private half is shown once."},
    {"name": "nodes", "description": "Nodes as people see them, and the approval of enrolments."},
    {"name": "statistics", "description": "What moved, and how well nodes reached buckets."},
    {"name": "events", "description": "Who changed what."},
    {"name": "quotas", "description": "How much of what is limited is used."},
    {"name": "nodes' own", "description": "Signed calls of nodes; no Bearer token is taken."},
    {"name": "health", "description": "Whether the platform answers."},
]
