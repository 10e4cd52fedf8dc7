"""The development gateway: it serves template.yaml on localhost and is never deployed."""

import os
import tempfile

# Local processes reach each other at 127.0.0.1. botocore would send even these requests through a proxy.
for _variable in ("NO_PROXY", "no_proxy"):
    _hosts = os.environ.get(_variable, "").split(",")
    os.environ[_variable] = ",".join(dict.fromkeys(host for host in (*_hosts, "127.0.0.1", "localhost") if host))

# multiprocessing puts its sockets below this folder. The path of a socket has at most 103 bytes on macOS, and the part
# that multiprocessing adds has 32.
if len(tempfile.gettempdir()) > 70:  # noqa: PLR2004
    tempfile.tempdir = "/tmp"  # noqa: S108 - multiprocessing makes a folder of its own in it
