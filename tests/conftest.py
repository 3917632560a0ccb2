"""What tests everywhere may ask for; the fixtures themselves are in tests/fixtures/."""

pytest_plugins = ["fixtures.postgres", "fixtures.live_server", "upstreams.http_upstream", "upstreams.openai_upstream"]
