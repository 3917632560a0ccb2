import json


def test_a_session_is_shown_with_its_messages(agentrt, scripted):
    name = scripted.session
    scripted.answers[f"GET /sessions/{name}"] = (200, {"id": name, "object": "session", "created_at": "2026-01-02T03:04:05Z"})
    result = {"type": "tool_result", "parts": [{"type": "text", "text": "ho"}]}
    messages = [
        {"role": "user", "parts": [{"type": "text", "text": "hi"}, {"type": "image"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "echo", "arguments": "{}"}]},
        {"role": "tool", "parts": [result]},
    ]
    scripted.answers[f"GET /sessions/{name}/messages"] = (200, {"object": "list", "data": messages})
    done = agentrt("sessions", "show", name, AGENTRT_URL=scripted.url, TZ="UTC")
    told = "user\nhi\n[image]\n\nassistant\n→ echo {}\n\ntool\n← ho\n"
    assert done.stdout == f"id       {name}\ncreated  2026-01-02 03:04:05\n\n{told}"
    done = agentrt("sessions", "show", name, "--json", AGENTRT_URL=scripted.url)
    assert json.loads(done.stdout)["messages"] == messages


def test_delete_says_what_it_did_and_forces_only_when_told(agentrt, scripted):
    busy = {"title": "Conflict", "detail": "a run of this session is under way: force it", "status": 409}
    scripted.answers[f"DELETE /sessions/{scripted.session}"] = (409, busy)
    done = agentrt("sessions", "delete", scripted.session, AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stderr) == (1, "Error: a run of this session is under way: force it\n")
    scripted.answers[f"DELETE /sessions/{scripted.session}"] = (200, {"id": scripted.session, "deleted": True})
    done = agentrt("sessions", "delete", scripted.session, "--force", AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout) == (0, f"deleted {scripted.session}\n")
    assert scripted.asked[-1][1] == f"/sessions/{scripted.session}?force=true"


def test_an_empty_list_says_so_on_stderr_only(agentrt, scripted):
    scripted.answers["GET /sessions"] = (200, {"object": "list", "data": [], "has_more": False})
    done = agentrt("sessions", "list", AGENTRT_URL=scripted.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no sessions\n")
