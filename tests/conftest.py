"""What tests everywhere may ask for; the fixtures themselves are in tests/fixtures/."""

import signal

# a shell that starts the tests in the background has Ctrl-C ignored, nohup a closed terminal; what they start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest_plugins = [
    # each before those that build upon it
    "fixtures.dockerd",
    "fixtures.images",
    "fixtures.engines",
    "fixtures.boxes",
    "fixtures.postgres",
    "fixtures.live_server",
    "fixtures.code_server",
    "fixtures.npm",
    "upstreams.http_upstream",
    "upstreams.openai_upstream",
]
