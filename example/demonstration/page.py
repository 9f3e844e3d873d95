"""The page and the admin, served to this machine."""

import socket
import sys
from contextlib import suppress

from django.core.management import call_command

from demonstration.preparation import PASSWORD, USER


def serve_page(port: int) -> None:
    """Serve until Ctrl-C, which is the ordinary end."""
    _insist_on(port)
    address = f"127.0.0.1:{port}"
    print(f"The page: http://{address}/")
    print(f"The admin: http://{address}/admin/ (user {USER}, password {PASSWORD})")
    print("Ctrl-C ends it.", flush=True)
    with suppress(KeyboardInterrupt):
        call_command("runserver", address, use_reloader=False)


def _insist_on(port: int) -> None:
    """End cleanly when the port is taken: Django's server would end without any clean-up."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"Port {port} cannot be used ({error.strerror}): choose another with --port.")
