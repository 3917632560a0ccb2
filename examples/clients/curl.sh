#!/bin/sh
# A walk through both interfaces with nothing but curl. The server is at AGENTRT_URL (http://127.0.0.1:8080).
set -eu
url=${AGENTRT_URL:-http://127.0.0.1:8080}
json='content-type: application/json'
said() { printf '\n\n# %s\n' "$*"; }

said 'which agents and models there are'
curl -fsS "$url/v1/models"

said 'a chat, as OpenAI clients send it'
curl -fsS "$url/v1/chat/completions" -H "$json" \
  -d '{"model": "default", "messages": [{"role": "user", "content": "Use the echo tool to say: Hello"}]}'

said 'the same, streamed'
curl -fsSN "$url/v1/chat/completions" -H "$json" \
  -d '{"model": "default", "stream": true, "messages": [{"role": "user", "content": "Count from 1 to 3"}]}'

said 'a run, in a session of its own naming; the answer comes once the run is recorded'
run=$(curl -fsS "$url/runs" -H "$json" -d '{"input": "What is 2 + 2 * 3?", "session_id": "example-curl"}')
printf '%s' "$run"
id=$(printf '%s' "$run" | sed 's/.*"id":"\(run_[0-9a-f]*\)".*/\1/')

said 'its events, from the first to the last'
curl -fsSN "$url/runs/$id/events"

said 'only what came after event 5'
curl -fsSN "$url/runs/$id/events" -H 'Last-Event-ID: 5'

said 'its model calls and tool calls'
curl -fsS "$url/runs/$id/steps"

said 'what was said in the session'
curl -fsS "$url/sessions/example-curl/messages"

said 'the session, its run and its events, gone for good'
curl -fsS -o /dev/null -w '%{http_code}\n' -X DELETE "$url/sessions/example-curl"
