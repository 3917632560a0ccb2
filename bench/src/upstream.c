/*
 * upstream - a very fast fake model server for benchmarks.
 *
 * One thread, epoll, HTTP/1.1 keep-alive. Speaks just enough of OpenAI's POST /v1/chat/completions and Anthropic's
 * POST /v1/messages (streaming and not), GET /v1/models and GET /health. The model's name selects what it does:
 *   fake                one reply; streamed it comes as 10 content chunks of the same text
 *   fake-n100-d0        100 content chunks in one burst
 *   fake-n100-d20       100 content chunks, one every 20 ms (own write each)
 *   fake-tool           first turn: one call of the first declared tool whose name contains "calculator", else the first
 *                       one declared, with {"expression":"2+3"}; once a tool result follows the last assistant message:
 *                       a normal text answer
 *   fake-flaky10        10 % of the calls fail before their first token, drawn by a generator that is seeded alike in every
 *                       run: 500, 529, 429, a connection closed before its answer or after the head of one. GET /flaky
 *                       says of how many calls how many failed so far: {"calls": N, "failed": N}
 * They combine: fake-tool-n100-d0.
 *
 * Run: upstream PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAXFD 16384
#define MAXBODY (16u << 20)

typedef struct {
  char *p;
  size_t len, cap;
} buf;

typedef struct {
  int fd, used;
  buf in, out;
  size_t outpos;
  int want_write, close_after;
  /* paced stream (or delayed reply) in progress */
  int active, stream, tool, usage, anthropic;
  int k, n;            /* next step, content chunks */
  uint64_t due, period; /* ns */
  int heap;            /* index in the timer heap, -1 when absent */
  char model[96], toolname[160];
} conn;

static conn *conns[MAXFD];
static int ep;
static conn *heap[MAXFD];
static int nheap;
static long flaky_calls, flaky_failed;

static const char TEXT[] =
    "fake-answer: the quick brown fox jumps over the lazy dog, then it writes a "
    "short report about the weather, the harbour and the long road home. It is "
    "plain text of a typical length so that the cost of copying and parsing a "
    "reply is neither hidden nor exaggerated by this benchmark server.";

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- growable buffers ---------------------------------------------------- */
static void need(buf *b, size_t n) {
  if (b->len + n <= b->cap) return;
  size_t c = b->cap ? b->cap : 4096;
  while (c < b->len + n) c *= 2;
  b->p = realloc(b->p, c);
  if (!b->p) abort();
  b->cap = c;
}
static void put(buf *b, const char *s, size_t n) {
  need(b, n);
  memcpy(b->p + b->len, s, n);
  b->len += n;
}
static void puts_(buf *b, const char *s) { put(b, s, strlen(s)); }

/* ---- timer heap ---------------------------------------------------------- */
static void hset(int i, conn *c) { heap[i] = c; c->heap = i; }
static void hup(int i) {
  conn *c = heap[i];
  while (i && heap[(i - 1) / 2]->due > c->due) { hset(i, heap[(i - 1) / 2]); i = (i - 1) / 2; }
  hset(i, c);
}
static void hdown(int i) {
  conn *c = heap[i];
  for (;;) {
    int k = 2 * i + 1;
    if (k >= nheap) break;
    if (k + 1 < nheap && heap[k + 1]->due < heap[k]->due) k++;
    if (heap[k]->due >= c->due) break;
    hset(i, heap[k]);
    i = k;
  }
  hset(i, c);
}
static void hpush(conn *c) { hset(nheap++, c); hup(nheap - 1); }
static void hdel(conn *c) {
  int i = c->heap;
  if (i < 0) return;
  c->heap = -1;
  conn *last = heap[--nheap];
  if (i == nheap) return;
  hset(i, last);
  hup(i);
  hdown(last->heap);
}

/* ---- connection output --------------------------------------------------- */
static void drop(conn *c) {
  hdel(c);
  close(c->fd);
  conns[c->fd] = NULL;
  free(c->in.p);
  free(c->out.p);
  free(c);
}
/* returns -1 when the connection died */
static int flush_(conn *c) {
  while (c->outpos < c->out.len) {
    ssize_t w = write(c->fd, c->out.p + c->outpos, c->out.len - c->outpos);
    if (w < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        if (!c->want_write) {
          struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.fd = c->fd};
          epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
          c->want_write = 1;
        }
        return 0;
      }
      drop(c);
      return -1;
    }
    c->outpos += w;
  }
  c->out.len = c->outpos = 0;
  if (c->want_write) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = c->fd};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->want_write = 0;
  }
  if (c->close_after && !c->active) { drop(c); return -1; }
  return 0;
}

static void reply(conn *c, const char *status, const char *body, size_t n) {
  char h[256];
  int m = snprintf(h, sizeof h,
                   "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                   "x-request-id: req_fake\r\n\r\n", status, n);
  put(&c->out, h, m);
  put(&c->out, body, n);
}
/* one HTTP chunk that holds one SSE event */
static void sse(conn *c, const char *data, size_t n) {
  char h[32];
  put(&c->out, h, snprintf(h, sizeof h, "%zx\r\n", n + 8));
  put(&c->out, "data: ", 6);
  put(&c->out, data, n);
  put(&c->out, "\n\n\r\n", 4);
}

/* the same as Anthropic writes it, with the event's name */
static void named_sse(conn *c, const char *name, const char *data, size_t n) {
  char h[96], b[64];
  int m = snprintf(b, sizeof b, "event: %s\ndata: ", name);
  put(&c->out, h, snprintf(h, sizeof h, "%zx\r\n", m + n + 2));
  put(&c->out, b, m);
  put(&c->out, data, n);
  put(&c->out, "\n\n\r\n", 4);
}

/* ---- replies ------------------------------------------------------------- */
#define HEAD "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"%s\",\"choices\":["
#define USAGE "{\"prompt_tokens\":12,\"completion_tokens\":64,\"total_tokens\":76}"
#define ARGUMENTS "{\\\"expression\\\":\\\"2+3\\\"}"

static const char SSE_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    "Transfer-Encoding: chunked\r\nx-request-id: req_fake\r\nrequest-id: req_fake\r\n\r\n";

/* ---- Anthropic's replies -------------------------------------------------- */
#define MESSAGE "{\"id\":\"msg_fake\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":["
#define SPENT "\"input_tokens\":12,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"

static void full_message(conn *c) {
  char b[2048];
  int m;
  if (c->tool)
    m = snprintf(b, sizeof b, MESSAGE "{\"type\":\"tool_use\",\"id\":\"toolu_fake1\",\"name\":\"%s\","
        "\"input\":{\"expression\":\"2+3\"}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":null,"
        "\"usage\":{" SPENT "\"output_tokens\":64}}", c->model, c->toolname);
  else
    m = snprintf(b, sizeof b, MESSAGE "{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
        "\"usage\":{" SPENT "\"output_tokens\":64}}", c->model, TEXT);
  reply(c, "200 OK", b, m);
}

static void message_head(conn *c) {
  char b[1024];
  int m;
  puts_(&c->out, SSE_HEAD);
  m = snprintf(b, sizeof b, "{\"type\":\"message_start\",\"message\":" MESSAGE "],\"stop_reason\":null,\"stop_sequence\":null,"
      "\"usage\":{" SPENT "\"output_tokens\":1}}}", c->model);
  named_sse(c, "message_start", b, m);
  if (c->tool)
    m = snprintf(b, sizeof b, "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\","
        "\"id\":\"toolu_fake1\",\"name\":\"%s\",\"input\":{}}}", c->toolname);
  else
    m = snprintf(b, sizeof b, "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}");
  named_sse(c, "content_block_start", b, m);
  named_sse(c, "ping", "{\"type\": \"ping\"}", 16);
}

/* a tool's input begins with an empty piece and goes on in two */
static const char *const INPUT[] = {"", "{\\\"expression\\\":", " \\\"2+3\\\"}"};

static void message_content(conn *c, int k) {
  char b[1024];
  int m, len = sizeof TEXT - 1, from = 0, to = 0;
  const char *type = c->tool ? "input_json_delta" : "text_delta", *field = c->tool ? "partial_json" : "text", *said = " token";
  if (c->tool) said = INPUT[k - 1];
  else if (c->n <= 10) {
    from = len * (k - 1) / c->n;
    to = len * k / c->n;
    said = TEXT + from;
  }
  m = snprintf(b, sizeof b, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"%s\",\"%s\":\"%.*s\"}}", type, field,
      to ? to - from : (int)strlen(said), said);
  named_sse(c, "content_block_delta", b, m);
}

static void message_end(conn *c) {
  char b[512];
  named_sse(c, "content_block_stop", b, snprintf(b, sizeof b, "{\"type\":\"content_block_stop\",\"index\":0}"));
  named_sse(c, "message_delta", b, snprintf(b, sizeof b, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
      "\"stop_sequence\":null},\"usage\":{\"output_tokens\":64}}", c->tool ? "tool_use" : "end_turn"));
  named_sse(c, "message_stop", b, snprintf(b, sizeof b, "{\"type\":\"message_stop\"}"));
  puts_(&c->out, "0\r\n\r\n");
}

/* ---- OpenAI's replies ----------------------------------------------------- */
static void full_reply(conn *c) {
  char b[2048];
  int m;
  if (c->tool)
    m = snprintf(b, sizeof b,
        "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_fake1\","
        "\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":\"" ARGUMENTS "\"}}]},\"logprobs\":null,"
        "\"finish_reason\":\"tool_calls\"}],\"usage\":" USAGE "}", c->model, c->toolname);
  else
    m = snprintf(b, sizeof b,
        "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":" USAGE ",\"system_fingerprint\":\"fp_fake\"}", c->model, TEXT);
  reply(c, "200 OK", b, m);
}

static void stream_head(conn *c) {
  char b[1024];
  int m;
  puts_(&c->out, SSE_HEAD);
  if (c->tool)
    m = snprintf(b, sizeof b, HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,"
        "\"id\":\"call_fake1\",\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":\"\"}}]},\"logprobs\":null,"
        "\"finish_reason\":null}]}", c->model, c->toolname);
  else
    m = snprintf(b, sizeof b, HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
        "\"finish_reason\":null}]}", c->model);
  sse(c, b, m);
}

/* content chunk k of 1..n: a slice of TEXT where there are few, else one token */
static void stream_content(conn *c, int k) {
  char b[1024];
  int m, len = sizeof TEXT - 1;
  if (c->tool)
    m = snprintf(b, sizeof b, HEAD "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"" ARGUMENTS "\"}}]},"
        "\"logprobs\":null,\"finish_reason\":null}]}", c->model);
  else if (c->n <= 10) {
    int from = len * (k - 1) / c->n, to = len * k / c->n;
    m = snprintf(b, sizeof b, HEAD "{\"index\":0,\"delta\":{\"content\":\"%.*s\"},\"logprobs\":null,\"finish_reason\":null}]}", c->model,
        to - from, TEXT + from);
  } else
    m = snprintf(b, sizeof b, HEAD "{\"index\":0,\"delta\":{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}]}", c->model);
  sse(c, b, m);
}

static void stream_end(conn *c) {
  char b[1024];
  int m = snprintf(b, sizeof b, HEAD "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}]}", c->model,
      c->tool ? "tool_calls" : "stop");
  sse(c, b, m);
  if (c->usage) {
    m = snprintf(b, sizeof b, HEAD "],\"usage\":" USAGE "}", c->model);
    sse(c, b, m);
  }
  sse(c, "[DONE]", 6);
  puts_(&c->out, "0\r\n\r\n");
}

/* Emits stream step k: 0 = head, 1..n = content, n+1 = end. Returns 1 at the end. */
static int stream_step(conn *c) {
  int k = c->k++;
  if (k == 0) (c->anthropic ? message_head : stream_head)(c);
  else if (k <= c->n) (c->anthropic ? message_content : stream_content)(c, k);
  else (c->anthropic ? message_end : stream_end)(c);
  return k > c->n;
}

/* Runs the reply as far as the clock allows. Returns -1 when the connection died. */
static int advance(conn *c) {
  if (!c->stream) {
    (c->anthropic ? full_message : full_reply)(c);
    c->active = 0;
    return flush_(c);
  }
  for (;;) {
    int end = stream_step(c);
    if (end) { c->active = 0; break; }
    /* the head, the first content chunk and the end carry no own delay */
    if (c->period && c->k >= 2 && c->k <= c->n) {
      c->due += c->period;
      if (c->due > now_ns()) { hpush(c); break; }
    }
  }
  return flush_(c);
}

/* ---- failures ------------------------------------------------------------ */
/* 0..below-1; a generator of its own (xorshift64*), so that every run draws the same */
static unsigned draw(unsigned below) {
  static uint64_t x = 0x9e3779b97f4a7c15ull;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  return (unsigned)((x * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static int refuse(conn *c, const char *status, const char *type) {
  char b[256];
  int m = snprintf(b, sizeof b, c->anthropic ? "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"a failure by chance\"}}"
      : "{\"error\":{\"message\":\"a failure by chance\",\"type\":\"%s\",\"param\":null,\"code\":null}}", type);
  reply(c, status, b, m);
  return flush_(c);
}

/* Returns -1 when the connection died. */
static int fail(conn *c) {
  flaky_failed++;
  switch (draw(5)) {
    case 0: return refuse(c, "500 Internal Server Error", c->anthropic ? "api_error" : "server_error");
    case 1: return refuse(c, "529 Overloaded", "overloaded_error");
    case 2: return refuse(c, "429 Too Many Requests", c->anthropic ? "rate_limit_error" : "rate_limit_exceeded");
    case 3: drop(c); return -1;
    default:
      if (c->stream) (c->anthropic ? message_head : stream_head)(c);
      else puts_(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4096\r\n\r\n{");
      c->close_after = 1;
      return flush_(c);
  }
}

/* ---- request parsing ----------------------------------------------------- */
static char *find(char *p, char *e, const char *s) { return p < e ? memmem(p, e - p, s, strlen(s)) : NULL; }

/* value of a JSON string key at p..e into out; the first match that is a string */
static char *jstr(char *p, char *e, const char *key, char *out, size_t cap) {
  for (char *q = p; (q = find(q, e, key));) {
    q += strlen(key);
    while (q < e && (*q == ' ' || *q == ':')) q++;
    if (q >= e || *q != '"') continue;
    char *s = ++q;
    while (q < e && *q != '"') q++;
    size_t n = (size_t)(q - s) < cap - 1 ? (size_t)(q - s) : cap - 1;
    memcpy(out, s, n);
    out[n] = 0;
    return q;
  }
  return NULL;
}
static int jtrue(char *p, char *e, const char *key) {
  for (char *q = p; (q = find(q, e, key));) {
    q += strlen(key);
    while (q < e && (*q == ' ' || *q == ':')) q++;
    if (e - q >= 4 && !memcmp(q, "true", 4)) return 1;
  }
  return 0;
}
static char *rfind(char *p, char *e, const char *s) {
  char *last = NULL;
  for (char *q = p; (q = find(q, e, s)); q++) last = q;
  return last;
}

static int handle(conn *c, char *path, char *b, char *e) {
  path[strcspn(path, "?")] = 0;
  if (!strcmp(path, "/v1/models")) {
    const char *m = "{\"object\":\"list\",\"data\":[{\"id\":\"fake\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"fake\"}]}";
    reply(c, "200 OK", m, strlen(m));
    return flush_(c);
  }
  if (!strcmp(path, "/health")) {
    reply(c, "200 OK", "{\"ok\":true}", 11);
    return flush_(c);
  }
  if (!strcmp(path, "/flaky")) {
    char m[96];
    reply(c, "200 OK", m, snprintf(m, sizeof m, "{\"calls\":%ld,\"failed\":%ld}", flaky_calls, flaky_failed));
    return flush_(c);
  }
  c->anthropic = !strcmp(path, "/v1/messages");
  if (!c->anthropic && strcmp(path, "/v1/chat/completions")) {
    const char *m = "{\"error\":{\"message\":\"no such path\",\"type\":\"not_found\"}}";
    reply(c, "404 Not Found", m, strlen(m));
    return flush_(c);
  }
  char name[96] = "fake";
  jstr(b, e, "\"model\"", name, sizeof name);
  snprintf(c->model, sizeof c->model, "%s", name);
  char *o = strstr(name, "fake");
  int wants_tool = 0;
  unsigned flaky = 0;
  c->n = 10;
  c->period = 0;
  for (o = o ? o + 4 : name + strlen(name); *o; o++) {
    if (*o != '-') continue;
    if (o[1] == 'n') c->n = atoi(o + 2);
    else if (o[1] == 'd') c->period = strtoull(o + 2, NULL, 10) * 1000000ull;
    else if (!strncmp(o + 1, "tool", 4)) wants_tool = 1;
    else if (!strncmp(o + 1, "flaky", 5)) flaky = atoi(o + 6);
  }
  c->stream = jtrue(b, e, "\"stream\"");
  c->usage = jtrue(b, e, "\"include_usage\"");
  c->tool = 0;
  if (wants_tool) {
    /* a tool result after the last assistant turn means: answer now */
    char *a = rfind(b, e, "\"assistant\"");
    char *t = find(b, e, "\"tools\"");
    int done = a && find(a, e, c->anthropic ? "\"tool_use_id\"" : "\"tool_call_id\"");
    if (!done && t) {
      char nm[160];
      c->toolname[0] = 0;
      for (char *q = t; (q = jstr(q, e, "\"name\"", nm, sizeof nm));) {
        if (!c->toolname[0] || strstr(nm, "calculator")) strcpy(c->toolname, nm);
        if (strstr(nm, "calculator")) break;
      }
      if (c->toolname[0]) { c->tool = 1; c->n = c->anthropic ? 3 : 1; c->period = 0; }
    }
  }
  if (flaky) {
    flaky_calls++;
    if (draw(100) < flaky) return fail(c);
  }
  c->k = 0;
  c->active = 1;
  c->due = now_ns();
  return advance(c);
}

/* Consumes complete requests from c->in. */
static void consume(conn *c) {
  while (!c->active && c->in.len) {
    need(&c->in, 1);
    c->in.p[c->in.len] = 0;
    char *p = c->in.p, *he = memmem(p, c->in.len, "\r\n\r\n", 4);
    if (!he) return;
    size_t hl = he - p + 4, bl = 0;
    *he = 0;
    char *cl = strcasestr(p, "\ncontent-length:"), *te = strcasestr(p, "\ntransfer-encoding:");
    int close_ = strcasestr(p, "\nconnection: close") != NULL;
    char *body = p + hl, *tmp = NULL;
    size_t used;
    if (cl) {
      bl = strtoul(cl + 16, NULL, 10);
      if (bl > MAXBODY) { drop(c); return; }
      if (c->in.len < hl + bl) { *he = '\r'; return; }
      used = hl + bl;
    } else if (te) { /* chunked request body */
      char *q = body, *e = p + c->in.len;
      tmp = malloc(c->in.len);
      int ok = 0;
      for (;;) {
        char *nl = find(q, e, "\r\n");
        if (!nl) break;
        size_t n = strtoul(q, NULL, 16);
        if (nl + 2 + n + 2 > e) break;
        if (!n) { q = nl + 4; ok = 1; break; }
        memcpy(tmp + bl, nl + 2, n);
        bl += n;
        q = nl + 2 + n + 2;
      }
      if (!ok) { free(tmp); *he = '\r'; return; }
      body = tmp;
      used = q - p;
    } else used = hl;
    char path[256] = "";
    sscanf(p, "%*15s %255s", path);
    if (close_) c->close_after = 1;
    int fd = c->fd, dead = handle(c, path, body, body + bl);
    free(tmp);
    if (dead < 0 || conns[fd] != c) return;
    memmove(c->in.p, c->in.p + used, c->in.len - used);
    c->in.len -= used;
  }
}

int main(int argc, char **argv) {
  int port = argc > 1 ? atoi(argv[1]) : 9000, one = 1;
  signal(SIGPIPE, SIG_IGN);
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("bind"); return 1; }
  ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = ls}, ev[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
  for (;;) {
    struct timespec ts, *tp = NULL;
    if (nheap) {
      uint64_t n = now_ns(), d = heap[0]->due > n ? heap[0]->due - n : 0;
      ts.tv_sec = d / 1000000000ull;
      ts.tv_nsec = d % 1000000000ull;
      tp = &ts;
    }
    int n = epoll_pwait2(ep, ev, 256, tp, NULL);
    for (int i = 0; i < n; i++) {
      int fd = ev[i].data.fd;
      if (fd == ls) {
        for (;;) {
          int s = accept4(ls, NULL, NULL, SOCK_NONBLOCK);
          if (s < 0) break;
          if (s >= MAXFD) { close(s); continue; }
          setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          conn *c = calloc(1, sizeof *c);
          c->fd = s;
          c->heap = -1;
          conns[s] = c;
          struct epoll_event x = {.events = EPOLLIN, .data.fd = s};
          epoll_ctl(ep, EPOLL_CTL_ADD, s, &x);
        }
        continue;
      }
      conn *c = conns[fd];
      if (!c) continue;
      if (ev[i].events & EPOLLOUT) {
        if (flush_(c) < 0) continue;
      }
      if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        need(&c->in, 16384);
        ssize_t r = read(fd, c->in.p + c->in.len, c->in.cap - c->in.len - 1);
        if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR)) { drop(c); continue; }
        if (r > 0) { c->in.len += r; consume(c); }
      }
    }
    uint64_t t = now_ns();
    while (nheap && heap[0]->due <= t) {
      conn *c = heap[0];
      hdel(c);
      int fd = c->fd;
      if (advance(c) == 0 && conns[fd] == c && !c->active) consume(c);
    }
  }
}
