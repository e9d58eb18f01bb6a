"""rapidsos-auth-proxy."""
