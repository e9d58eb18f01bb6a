"""The XML of the location information server: HELD in (RFC 5985), PIDF-LO out (RFC 5491)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # a document type is refused first # nosec B405

if TYPE_CHECKING:
    from proxy.simulator.locations import Location

MEDIA_TYPE = "application/held+xml"
_HELD = "urn:ietf:params:xml:ns:geopriv:held"
_TEL = re.compile(r"tel:\+?([0-9]{7,15})")

_ANSWER = """\
<?xml version="1.0" encoding="UTF-8"?>
<locationResponse xmlns="urn:ietf:params:xml:ns:geopriv:held">
 <presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:{caller_id}@simulator.invalid">
  <tuple id="location"><status>
   <geopriv xmlns="urn:ietf:params:xml:ns:pidf:geopriv10"><location-info>
    <Circle xmlns="http://www.opengis.net/pidflo/1.0" xmlns:gml="http://www.opengis.net/gml" \
srsName="urn:ogc:def:crs:EPSG::4326">
     <gml:pos>{latitude} {longitude}</gml:pos>
     <radius uom="urn:ogc:def:uom:EPSG::9001">{radius}</radius>
    </Circle>
   </location-info><usage-rules/><method>Device-Assisted_A-GPS</method></geopriv>
  </status><timestamp>{timestamp}</timestamp></tuple>
 </presence>
</locationResponse>
"""
_ERROR = """\
<?xml version="1.0" encoding="UTF-8"?>
<error xmlns="urn:ietf:params:xml:ns:geopriv:held" code="{code}"><message xml:lang="en">{message}</message></error>
"""


def parse_location_request(body: bytes) -> str | None:
    """Return the digits of the ``tel:`` URI that a locationRequest asks for, or None when it names none.

    Raises:
        ValueError: If the body is no locationRequest in UTF-8.
    """
    text = body.decode()
    if "<!DOCTYPE" in text:
        message = "a document type is not allowed"
        raise ValueError(message)
    try:
        root = ET.fromstring(text)  # noqa: S314 (without a document type no entity can expand) # nosec B314
    except ET.ParseError as error:
        message = "not well-formed XML"
        raise ValueError(message) from error
    if root.tag != f"{{{_HELD}}}locationRequest":
        message = "not a locationRequest"
        raise ValueError(message)
    found = _TEL.search(" ".join(root.itertext()))
    return found[1] if found else None


def build_location_response(caller_id: str, location: Location) -> bytes:
    """Build the PIDF-LO answer: a circle around the position."""
    moment = datetime.fromtimestamp(location.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return _ANSWER.format(
        caller_id=caller_id,
        latitude=location.latitude,
        longitude=location.longitude,
        radius=location.uncertainty_m,
        timestamp=moment.replace("+00:00", "Z"),
    ).encode()


def build_error(code: str, message: str) -> bytes:
    """Build an error document; HELD sends it with status 200 (RFC 5985, section 6.3)."""
    return _ERROR.format(code=code, message=message).encode()
