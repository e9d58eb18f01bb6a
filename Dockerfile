# rapidsos-auth-proxy in a container.
#
#   docker build --tag rapidsos-auth-proxy .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --env-file config/secrets.env \
#       --volume "$PWD/proxy.toml:/etc/rapidsos-proxy/proxy.toml:ro" --publish 127.0.0.1:8080:8080 rapidsos-auth-proxy
#
# Bind addresses: 127.0.0.1 inside a container is the container alone.  A configuration for it binds 0.0.0.0, names
# the clients' networks in `allow` (published ports arrive from the bridge's gateway, for example 172.17.0.1), and
# leaves the choice of who can reach it to --publish.  The health check asks the admin listener at 127.0.0.1:9090; a
# cluster's probes ask another address, `health_bind = "0.0.0.0:9091"` under [admin].  --ulimit nofile=16384 lets it
# have as many connections as it allows by default.
#
# /tmp holds the control socket: `docker exec CONTAINER rapidsos-proxy token status --config …`.
#
# Secrets come at run time, by environment or by file; no layer of this image holds any.

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# Compiles the data path, which halves its CPU; the compiler stays in this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV HATCH_BUILD_HOOKS_ENABLE=1
WORKDIR /src
COPY pyproject.toml README.md ./
COPY proxy ./proxy
COPY config/constraints.txt config/demo.toml ./config/
RUN python -m venv /opt/rapidsos-proxy \
    && /opt/rapidsos-proxy/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && /opt/rapidsos-proxy/bin/pip install --no-cache-dir --constraint config/constraints.txt /dist/*.whl \
    && /opt/rapidsos-proxy/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="rapidsos-auth-proxy" \
      org.opencontainers.image.description="An authenticating forward proxy between legacy 911 CAD systems and RapidSOS"
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/rapidsos-proxy/bin:$PATH
COPY --from=build /opt/rapidsos-proxy /opt/rapidsos-proxy

# A number and no name: a cluster that demands runAsNonRoot can check it.
USER 10001:10001
WORKDIR /etc/rapidsos-proxy
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9090, timeout=2); \
c.request('GET', '/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["rapidsos-proxy"]
CMD ["serve", "--config", "/etc/rapidsos-proxy/proxy.toml"]
