"""The constants and configs of processors, and the wording of errors about them."""
