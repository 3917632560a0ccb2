/*
 * load - HTTP/1.1 load client for plain and SSE replies.
 *
 * One thread, epoll, N keep-alive connections, closed loop: every connection
 * sends its next request as soon as the previous reply is complete. At the
 * deadline no new request starts; replies in flight may finish (drain).
 * Prints one JSON object.
 *
 *   load -p PORT -u /path [-m POST] [-H 'Name: value']... [-b BODYFILE]
 *        [-c CONNS] [-t SECONDS] [-n REQUESTS] [-x EXPECT] [-D DRAIN_SECONDS]
 *
 *   -x  every reply must be 2xx and contain EXPECT (checked on the decoded body)
 *   -n  start no more than this many requests, even if there is time left
 *
 * Output: ok, errors, statuses, rate (replies/s), latency
 * percentiles (ms), and for SSE replies: events (lines that begin with
 * "data:"), event rate, time to the first event (ms), gaps between events (ms).
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

enum { HEAD, FIXED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE };

typedef struct {
  int fd, busy, state, status, conn_close;
  size_t sent;
  char head[16384];
  size_t headlen;
  size_t left;         /* bytes left in body or chunk */
  char num[20];
  int numlen;
  char tail[64];       /* end of the body so far, to find EXPECT across reads */
  int taillen, found, bol;
  char line[5];        /* first bytes of the current line */
  int linelen;
  uint64_t t0, tlast;  /* request start, last event */
  long events;
} conn;

typedef struct { float *v; size_t n, cap; } samples;
static void add(samples *s, double x) {
  if (s->n == s->cap) {
    if (s->cap >= (32u << 20)) return;
    s->cap = s->cap ? s->cap * 2 : 4096;
    s->v = realloc(s->v, s->cap * sizeof *s->v);
  }
  s->v[s->n++] = (float)x;
}
static int cmp(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}
static void report(const char *name, samples *s) {
  if (!s->n) { printf(", \"%s\": null", name); return; }
  qsort(s->v, s->n, sizeof *s->v, cmp);
#define P(q) s->v[(size_t)((s->n - 1) * (q))]
  printf(", \"%s\": {\"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}", name, P(.5), P(.9), P(.99), P(1));
}

static samples lat, ttfe, gap;
static long ok, errors, events, events_in_window, bytes;
static int bad_status[600], sockerr;
static uint64_t deadline, t_begin;
static const char *expect;
static int port, ep, inflight, quitting;
static char *tmpl;
static size_t tmpl_len;
static long todo = -1; /* requests left to start; negative: no limit */

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int dial(conn *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(c->fd, (void *)&a, sizeof a)) { close(c->fd); c->fd = -1; sockerr++; return -1; }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
  return 0;
}

static void start(conn *c) {
  uint64_t t = now_ns();
  if (t >= deadline || !todo) { c->busy = 0; return; }
  if (c->fd < 0 && dial(c)) { usleep(1000); if (sockerr > 2000) quitting = 1; return; }
  if (todo > 0) todo--;
  c->state = HEAD;
  c->headlen = c->taillen = c->found = c->linelen = 0;
  c->events = 0;
  c->bol = 1;
  c->t0 = t;
  c->busy = 1;
  inflight++;
  /* requests are small: one blocking write is enough */
  size_t off = 0;
  while (off < tmpl_len) {
    ssize_t w = write(c->fd, tmpl + off, tmpl_len - off);
    if (w <= 0) { break; }
    off += w;
  }
}

static void body(conn *c, const char *p, size_t n, uint64_t t) {
  bytes += n;
  if (expect && !c->found) {
    size_t el = strlen(expect);
    char tmp[128];
    size_t m = n < 63 ? n : 63;
    memcpy(tmp, c->tail, c->taillen);
    memcpy(tmp + c->taillen, p, m);
    if (memmem(tmp, c->taillen + m, expect, el) || memmem(p, n, expect, el)) c->found = 1;
    size_t keep = el - 1 < 60 ? el - 1 : 60;
    if (n >= keep) { memcpy(c->tail, p + n - keep, keep); c->taillen = keep; }
    else {
      size_t tot = c->taillen + n;
      size_t k2 = tot < keep ? tot : keep;
      memcpy(tmp + c->taillen, p, n);
      memmove(c->tail, tmp + tot - k2, k2);
      c->taillen = k2;
    }
  }
  while (n) {
    if (c->bol) {
      if (*p == '\n' ) { p++; n--; c->linelen = 0; continue; }
      c->line[c->linelen++] = *p++;
      n--;
      if (c->linelen == 5) {
        c->bol = 0;
        if (!memcmp(c->line, "data:", 5)) {
          if (!c->events) add(&ttfe, (t - c->t0) / 1e6);
          else add(&gap, (t - c->tlast) / 1e6);
          c->tlast = t;
          c->events++;
          events++;
          if (t < deadline) events_in_window++;
        }
      }
      continue;
    }
    const char *nl = memchr(p, '\n', n);
    if (!nl) break;
    n -= nl + 1 - p;
    p = nl + 1;
    c->bol = 1;
    c->linelen = 0;
  }
}

static void redial(conn *c) { close(c->fd); c->fd = -1; }

static void done(conn *c, uint64_t t, int good) {
  inflight--;
  c->busy = 0;
  if (good && c->status >= 200 && c->status < 300 && (!expect || c->found)) {
    ok++;
    add(&lat, (t - c->t0) / 1e6);
  } else {
    errors++;
    if (c->status > 0 && c->status < 600) bad_status[c->status]++;
    if (errors == 1) fprintf(stderr, "first error: status %d found %d good %d tail %.60s\n", c->status, c->found, good, c->tail);
  }
  if (c->conn_close || !good) redial(c);
  start(c);
}

static void feed(conn *c, char *p, size_t n, uint64_t t) {
  char *e = p + n;
  while (p < e && c->busy) {
    switch (c->state) {
      case HEAD: {
        size_t m = e - p, room = sizeof c->head - 1 - c->headlen;
        if (m > room) m = room;
        memcpy(c->head + c->headlen, p, m);
        size_t old = c->headlen;
        c->headlen += m;
        c->head[c->headlen] = 0;
        char *he = memmem(c->head, c->headlen, "\r\n\r\n", 4);
        if (!he) {
          if (m == room) { c->status = -1; done(c, t, 0); return; }
          return;
        }
        p += (he - c->head) + 4 - old;
        he[2] = 0;
        c->status = atoi(c->head + 9);
        c->conn_close = strcasestr(c->head, "\nconnection: close") != NULL;
        char *cl = strcasestr(c->head, "\ncontent-length:"), *te = strcasestr(c->head, "\ntransfer-encoding: chunked");
        if (te) { c->state = CHUNK_SIZE; c->numlen = 0; }
        else if (cl) {
          c->left = strtoul(cl + 16, NULL, 10);
          c->state = FIXED;
          if (!c->left) { done(c, t, 1); return; }
        } else { c->state = UNTIL_CLOSE; c->conn_close = 1; }
        break;
      }
      case FIXED: {
        size_t m = (size_t)(e - p) < c->left ? (size_t)(e - p) : c->left;
        body(c, p, m, t);
        p += m;
        c->left -= m;
        if (!c->left) { done(c, t, 1); return; }
        break;
      }
      case CHUNK_SIZE:
        if (*p == '\n') {
          c->num[c->numlen] = 0;
          c->left = strtoul(c->num, NULL, 16);
          c->numlen = 0;
          c->state = c->left ? CHUNK_DATA : TRAILER;
        } else if (c->numlen < 18) c->num[c->numlen++] = *p;
        p++;
        break;
      case CHUNK_DATA: {
        size_t m = (size_t)(e - p) < c->left ? (size_t)(e - p) : c->left;
        body(c, p, m, t);
        p += m;
        c->left -= m;
        if (!c->left) c->state = CHUNK_END;
        break;
      }
      case CHUNK_END:
        if (*p++ == '\n') c->state = CHUNK_SIZE;
        break;
      case TRAILER: /* lines up to an empty one */
        if (*p == '\n') {
          if (c->numlen == 0) { done(c, t, 1); return; }
          c->numlen = 0;
        } else if (*p != '\r') c->numlen = 1;
        p++;
        break;
      case UNTIL_CLOSE:
        body(c, p, e - p, t);
        p = e;
        break;
    }
  }
}

int main(int argc, char **argv) {
  const char *path = "/", *method = "POST", *bodyfile = NULL;
  char headers[8192] = "";
  int conns = 1, o;
  double secs = 5, drain = 10;
  while ((o = getopt(argc, argv, "p:u:m:H:b:c:t:n:x:D:")) != -1) switch (o) {
      case 'p': port = atoi(optarg); break;
      case 'u': path = optarg; break;
      case 'm': method = optarg; break;
      case 'H': strcat(headers, optarg); strcat(headers, "\r\n"); break;
      case 'b': bodyfile = optarg; break;
      case 'c': conns = atoi(optarg); break;
      case 't': secs = atof(optarg); break;
      case 'x': expect = optarg; break;
      case 'n': todo = atol(optarg); break;
      case 'D': drain = atof(optarg); break;
      default: return 2;
    }
  signal(SIGPIPE, SIG_IGN);
  char *b = NULL;
  size_t bl = 0;
  if (bodyfile) {
    FILE *f = fopen(bodyfile, "rb");
    if (!f) { perror(bodyfile); return 1; }
    b = malloc(1 << 20);
    bl = fread(b, 1, 1 << 20, f);
    fclose(f);
  }
  tmpl = malloc(bl + 16384);
  tmpl_len = sprintf(tmpl, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n%s", method, path, port, headers);
  if (b) tmpl_len += sprintf(tmpl + tmpl_len, "Content-Length: %zu\r\n", bl);
  tmpl_len += sprintf(tmpl + tmpl_len, "\r\n");
  if (b) { memcpy(tmpl + tmpl_len, b, bl); tmpl_len += bl; }
  ep = epoll_create1(0);
  conn *cs = calloc(conns, sizeof *cs);
  t_begin = now_ns();
  deadline = t_begin + (uint64_t)(secs * 1e9);
  uint64_t hard = deadline + (uint64_t)(drain * 1e9);
  for (int i = 0; i < conns; i++) {
    cs[i].fd = -1;
    start(&cs[i]);
  }
  static char in[1 << 18];
  struct epoll_event ev[256];
  while (!quitting) {
    uint64_t t = now_ns();
    if (((t >= deadline || !todo) && !inflight) || t >= hard) break;
    int n = epoll_wait(ep, ev, 256, 100);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (c->fd < 0) continue;
      ssize_t r = read(c->fd, in, sizeof in);
      t = now_ns();
      if (r > 0) { if (c->busy) feed(c, in, r, t); continue; }
      if (r < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (c->busy) done(c, t, r == 0 && c->state == UNTIL_CLOSE);
      else redial(c);
    }
    if (t < deadline) for (int i = 0; i < conns; i++) if (!cs[i].busy) start(&cs[i]);
  }
  double el = (now_ns() - t_begin) / 1e9;
  printf("{\"ok\": %ld, \"errors\": %ld, \"unfinished\": %d, \"socket_errors\": %d, \"elapsed\": %.3f, \"rate\": %.2f, \"bytes\": %ld",
         ok, errors, inflight, sockerr, el, ok / el, bytes);
  printf(", \"bad_status\": {");
  for (int i = 0, first = 1; i < 600; i++) if (bad_status[i]) { printf("%s\"%d\": %d", first ? "" : ", ", i, bad_status[i]); first = 0; }
  printf("}");
  report("latency_ms", &lat);
  if (events) {
    printf(", \"events\": %ld, \"event_rate\": %.1f", events, events_in_window / secs);
    report("first_event_ms", &ttfe);
    report("gap_ms", &gap);
  }
  printf("}\n");
  return 0;
}
