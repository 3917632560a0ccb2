import pytest

from agentrt.settings import SettingsInvalid, exposure


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_only_this_machine_reaches_a_loopback_address(host):
    assert exposure(host, f"{host}:8080", allowed=False) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "agents.example"])
def test_an_address_that_others_reach_is_refused_unless_it_was_asked_for_and_then_it_warns(host):
    with pytest.raises(SettingsInvalid, match="--allow-unauthenticated"):
        exposure(host, f"{host}:8080", allowed=False)
    assert "can be reached by others" in (exposure(host, f"{host}:8080", allowed=True) or "")
