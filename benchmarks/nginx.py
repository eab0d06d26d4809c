"""nginx twice: as the origin that plays an S3 server, and as the plain reverse proxy to be compared with."""

from pathlib import Path

BUCKET = "bench"

COMMON = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {server}
}}
"""

# GET: a static file, with nginx's own ETag. PUT: `mirror` reads the whole body before the static module refuses the
# method, and the refusal is turned into an S3 server's 200. (`return 200` alone answers before the body is there.)
ORIGIN = """
    open_file_cache max=100;
    client_body_buffer_size 2m;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=1024;
        root {root};
        location / {{ if ($request_method = PUT) {{ rewrite ^ /store last; }} }}
        location = /store {{
            internal;
            mirror /read;
            error_page 405 =200 @stored;
        }}
        location = /read {{ internal; return 204; }}
        location @stored {{
            add_header ETag '"00000000000000000000000000000001-1"';
            return 200 "";
        }}
    }}
"""

# Bodies stream both ways, as they do through the node: nginx's default would write large ones to temporary files.
PROXY = """
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=1024;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
"""


def origin_command(directory: Path, port: int, root: Path) -> list[str]:
    return _command(directory, ORIGIN.format(port=port, root=root))


def proxy_command(directory: Path, port: int, origin: int) -> list[str]:
    return _command(directory, PROXY.format(port=port, origin=origin))


def _command(directory: Path, server: str) -> list[str]:
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(COMMON.format(directory=directory, server=server))
    return ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(file)]
