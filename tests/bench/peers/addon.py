"""An addon of mitmproxy, run by it in its own environment: adds the token that the option ``token`` holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import ctx

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.http import HTTPFlow


class AddToken:
    """The addon."""

    def load(self, loader: Loader) -> None:
        """Declare the option."""
        loader.add_option("token", str, "", "The token to add to each request")

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Add the token."""
        flow.request.headers["Authorization"] = f"Bearer {ctx.options.token}"


addons = [AddToken()]
