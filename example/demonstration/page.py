"""The page and the admin, served to this machine."""

from contextlib import suppress

from django.core.management import call_command

from demonstration.preparation import PASSWORD, USER


def serve_page(port: int) -> None:
    """Serve until Ctrl-C, which is the ordinary end."""
    address = f"127.0.0.1:{port}"
    print(f"The page: http://{address}/")
    print(f"The admin: http://{address}/admin/ (user {USER}, password {PASSWORD})")
    print("Ctrl-C ends it.", flush=True)
    with suppress(KeyboardInterrupt):
        call_command("runserver", address, use_reloader=False)
