"""nginx with a token that it is given, and a buffered log of the request with its body.

A large body is streamed on as ours is, and not put into a file first; for it, as there is nothing in memory to log,
the log has the head alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.peer import Place

_CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 16384; }}
http {{
    log_format full escape=json '{{"at":"$time_iso8601","client":"$remote_addr","request":"$request","host":"$host",'
        '"user_agent":"$http_user_agent","accept":"$http_accept","type":"$http_content_type","body":"$request_body",'
        '"status":$status,"sent":$body_bytes_sent,"answer_type":"$sent_http_content_type","took":$request_time,'
        '"upstream":"$upstream_addr","upstream_status":"$upstream_status"}}';
    access_log {log} full buffer=64k;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_max_body_size 0;
    client_body_buffer_size 64k;
    client_body_in_single_buffer on;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream rapidsos {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 300s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer {token}";
    proxy_max_temp_file_size 0;
    {tls}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {scheme}://rapidsos; }}
        location ~ /bulk$ {{
            proxy_pass {scheme}://rapidsos;
            proxy_request_buffering off;
        }}
    }}
}}
"""
_TLS = """\
proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {ca};
    proxy_ssl_name localhost;
    proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
"""


def prepare(place: Place) -> Sequence[str]:
    """Write the configuration; return the command."""
    ca = place.setting.ca
    config = _CONFIG.format(
        directory=place.directory,
        log=place.access_log,
        upstream=place.upstream,
        scheme="http" if ca is None else "https",
        tls="" if ca is None else _TLS.format(ca=ca),
        token=place.token,
        port=place.port,
    )
    path = place.write("nginx.conf", config)
    return place.program, "-p", str(place.directory), "-c", str(path), "-e", "stderr"
