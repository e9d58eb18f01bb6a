"""What is asked and answered in a race: an answer of 1 KiB, a document of 1 KiB that is sent."""

from __future__ import annotations

import json

from bench.load import Work
from bench.upstream import Answers

_REMARKS = "caller reports smoke on the third floor, two people cannot leave the building; "
_TRIGGER = json.dumps({"callback": "+15555550100", "location": {"latitude": 38.9, "longitude": -77.03}, "text": ""})
_ALERT = json.dumps({"alert_id": "alert-7f3a91", "caller_id": "15555550100", "status": "NEW", "remarks": ""})


def build_filled(document: str) -> str:
    """Fill the last, empty, text of a JSON document until it is 1 KiB."""
    filling = (_REMARKS * 20)[: 1024 - len(document)]
    return f"{document[:-2]}{filling}{document[-2:]}"


ANSWERS = Answers(get=build_filled(_ALERT), post=json.dumps({"alert_id": "alert-7f3a91"}))
GET = Work("GET", "GET", "/egress/v1/location?caller_id=15555550100")
POST = Work("POST", "POST", "/ingress/v1/rem/trigger", build_filled(_TRIGGER))
WORKS = (GET, POST)
WHOAMI = Work("whoami", "GET", "/egress/whoami")
