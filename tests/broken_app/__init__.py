"""An app that only `start_partisan` itself can load: the process that starts workers cannot."""
