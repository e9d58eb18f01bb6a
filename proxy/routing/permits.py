"""What a route lets through of the requests that it takes: methods and paths.

The rule of this file: what is not listed is refused, and goes to no other route.  ``match`` chooses between routes;
this says what may be asked of RapidSOS by the one that was chosen.  Paths are those that RapidSOS gets, so that they
can be copied from its documentation; they are compared by their bytes, and what could lead out of one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import MethodNotAllowed, TargetNotAllowed
from proxy.http.headers import METHOD_OVERRIDES
from proxy.routing.paths import check_inside, is_odd, parse_prefix

if TYPE_CHECKING:
    from proxy.config.models import Route
    from proxy.http.head import RequestHead
    from proxy.routing.paths import Prefix


@dataclass(frozen=True, slots=True)
class Permits:
    """The lists of one route; an empty one permits everything.

    Attributes:
        route: Its name, for those who are refused.
        methods: Exact, case included.  A request that asks in a field to be taken for another method needs both.
        paths: Prefixes of whole segments.
    """

    route: str
    methods: tuple[str, ...]
    paths: tuple[Prefix, ...]

    def check(self, head: RequestHead, path: str) -> None:
        """Let a request through.

        Args:
            head: Its head.
            path: Path and query as the upstream would get them.

        Raises:
            TargetNotAllowed: If the path begins with none of the list.
            MethodNotAllowed: If a method is not in the list.
            Malformed: If an upstream could read the path as leading out of the list.
        """
        if self.paths:
            if not any(prefix.is_in(path) for prefix in self.paths):
                raise TargetNotAllowed(self._tell_path(path))
            if is_odd(path):
                check_inside(path)
        if self.methods and (refused := find_methods(head).difference(self.methods)):
            detail = (
                f"route {self.route} forwards {', '.join(self.methods)}, not {min(refused)}; "
                "correct the client, or add it to methods of the route"
            )
            raise MethodNotAllowed(detail, allow=self.methods)

    def _tell_path(self, path: str) -> str:
        permitted = ", ".join(map(str, self.paths))
        return (
            f"route {self.route} forwards {permitted}, not {path.partition('?')[0]}; "
            "correct the client's URL, or add the path to paths of the route"
        )


def build_permits(route: Route) -> Permits | None:
    """Build what a route permits; None for everything."""
    if not (route.methods or route.paths):
        return None
    return Permits(route.name, route.methods, tuple(map(parse_prefix, route.paths)))


def find_methods(head: RequestHead) -> set[str]:
    """Return the method of a request, and those that its fields put in its place, in either spelling of their names."""
    asked = (
        value.strip()
        for (_, value), name in zip(head.fields, head.names, strict=True)
        if name.replace("_", "-") in METHOD_OVERRIDES
    )
    return {head.method, *asked}
