/* A model server that costs almost nothing, so that what is measured is the gateway in front of it.
 *
 * fake_upstream PORT: one epoll thread. Any POST is answered: JSON with usage, or, when the body asks
 * for "stream": true, server-sent events in chunked coding. What to do is asked for in the text of the
 * prompt, because text is what every gateway hands on: "x_tokens=20 x_interval_us=10000 x_think_ms=0".
 * Each token carries "t=<CLOCK_MONOTONIC ns>", the moment before it was written. After a streamed
 * answer the connection is closed unannounced, as llama-server does.
 *
 * GET /control/closes  the moments (ns) at which clients closed during an answer, oldest first
 * GET /control/reset   forgets them
 * GET /control/open    how many answers are being given
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536
#define MAX_CLOSES 65536
#define WINDOW 4096 /* of a large body only both ends are searched, or searching would dominate */

typedef struct {
    int fd, heap_at; /* place in the timer heap, -1: no timer */
    char *in, *out;
    size_t in_len, in_cap, out_len, out_at, out_cap, body_at, body_len;
    int have_head, streaming, thinking, sent, tokens, closing;
    int64_t due, interval;
} Conn;

static Conn *conns[MAX_FD];
static Conn *heap[MAX_FD];
static int heap_len, ep, open_answers;
static int64_t closes[MAX_CLOSES];
static int close_count;

static const char ANSWER[] =
    "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"fake\","
    "\"system_fingerprint\":\"fake\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":\"Hearth keeps the fire burning while everyone else is asleep, and says so briefly.\"},"
    "\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":211,\"completion_tokens\":17,\"total_tokens\":228}}";
static const char FIRST[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                            "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* --- timers: a binary heap of connections by due time --- */

static void place(int at, Conn *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void sift(int at) {
    Conn *c = heap[at];
    while (at && heap[(at - 1) / 2]->due > c->due) {
        place(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < heap_len && heap[child + 1]->due < heap[child]->due) child++;
        if (child >= heap_len || heap[child]->due >= c->due) break;
        place(at, heap[child]);
        at = child;
    }
    place(at, c);
}

static void timer_set(Conn *c, int64_t due) {
    c->due = due;
    if (c->heap_at < 0) place(heap_len++, c);
    sift(c->heap_at);
}

static void timer_drop(Conn *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    if (at != --heap_len) {
        place(at, heap[heap_len]);
        sift(at);
    }
}

/* --- connections --- */

static void drop(Conn *c, int by_client) {
    if (c->streaming || c->thinking) {
        open_answers--;
        if (by_client && close_count < MAX_CLOSES) closes[close_count++] = now();
    }
    timer_drop(c);
    close(c->fd);
    conns[c->fd] = NULL;
    free(c->in);
    free(c->out);
    free(c);
}

static void watch(Conn *c, int writable) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0), .data.fd = c->fd};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

/* Writes, or keeps what the socket does not take. Returns 0 when the connection is gone. */
static int put(Conn *c, const char *data, size_t len) {
    ssize_t n = 0;
    if (!c->out_len) {
        n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            drop(c, 1);
            return 0;
        }
        if (n < 0) n = 0;
    }
    if ((size_t)n < len) {
        if (c->out_len + len > c->out_cap) c->out = realloc(c->out, c->out_cap = 2 * (c->out_len + len));
        memcpy(c->out + c->out_len, data + n, len - n);
        c->out_len += len - n;
        watch(c, 1);
    }
    return 1;
}

static int flush(Conn *c) {
    ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        drop(c, 1);
        return 0;
    }
    if (n > 0) c->out_at += n;
    if (c->out_at == c->out_len) {
        c->out_at = c->out_len = 0;
        watch(c, 0);
        if (c->closing) {
            drop(c, 0);
            return 0;
        }
    }
    return 1;
}

static int answer(Conn *c, const char *kind, const char *body, size_t len) {
    char buffer[2048];
    char *whole = len < 1024 ? buffer : malloc(len + 512);
    int n = sprintf(whole, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", kind, len);
    memcpy(whole + n, body, len);
    int ok = put(c, whole, n + len);
    if (whole != buffer) free(whole);
    return ok;
}

static int event(char *to, const char *json, int len) {
    return sprintf(to, "%x\r\ndata: %.*s\n\n\r\n", len + 8, len, json);
}

/* The next token of a stream, or its end. */
static void token(Conn *c) {
    char json[640], wire[1600];
    int n = 0, len;
    if (!c->sent) n = sprintf(wire, "%s", FIRST);
    if (c->sent < c->tokens) {
        len = sprintf(json,
                      "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                      "\"model\":\"fake\",\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\"t=%lld \"},"
                      "\"finish_reason\":null}]}",
                      c->sent ? "" : "\"role\":\"assistant\",", (long long)now());
        n += event(wire + n, json, len);
        c->sent++;
        if (put(c, wire, n)) timer_set(c, c->due + c->interval);
        return;
    }
    len = sprintf(json,
                  "{\"id\":\"chatcmpl-fake\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                  "\"model\":\"fake\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"
                  "\"usage\":{\"prompt_tokens\":211,\"completion_tokens\":%d,\"total_tokens\":%d},"
                  "\"timings\":{\"prompt_n\":11,\"cache_n\":200,\"predicted_n\":%d}}",
                  c->sent, 211 + c->sent, c->sent);
    n += event(wire + n, json, len);
    n += sprintf(wire + n, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    if (!put(c, wire, n)) return;
    c->streaming = 0;
    open_answers--;
    if (c->out_len) c->closing = 1;
    else drop(c, 0);
}

/* --- requests --- */

static const char *find(Conn *c, const char *what) {
    const char *body = c->in + c->body_at;
    size_t len = strlen(what);
    if (c->body_len <= 2 * WINDOW) return memmem(body, c->body_len, what, len);
    const char *at = memmem(body, WINDOW, what, len);
    return at ? at : memmem(body + c->body_len - WINDOW, WINDOW, what, len);
}

static long option(Conn *c, const char *name, long otherwise) {
    const char *at = find(c, name);
    return at ? atol(at + strlen(name)) : otherwise;
}

static int wants_stream(Conn *c) {
    const char *at = find(c, "\"stream\"");
    if (!at) return 0;
    for (at += 8; *at == ' ' || *at == ':'; at++) {}
    return *at == 't';
}

static int control(Conn *c, const char *path) {
    char small[64];
    if (!strncmp(path, "closes", 6)) {
        char *list = malloc(24 * close_count + 8);
        int n = sprintf(list, "[");
        for (int i = 0; i < close_count; i++) n += sprintf(list + n, "%s%lld", i ? "," : "", (long long)closes[i]);
        n += sprintf(list + n, "]");
        int ok = answer(c, "application/json", list, n);
        free(list);
        return ok;
    }
    if (!strncmp(path, "reset", 5)) close_count = 0;
    return answer(c, "application/json", small, sprintf(small, "%d", open_answers));
}

static int get(Conn *c) {
    static const struct { const char *path, *kind, *body; } PAGES[] = {
        {"/v1/models", "application/json",
         "{\"object\":\"list\",\"data\":[{\"id\":\"fake\",\"object\":\"model\",\"owned_by\":\"bench\"}]}"},
        {"/props", "application/json", "{\"total_slots\":16384}"},
        {"/slots", "application/json", "[]"},
        {"/metrics", "text/plain", "llamacpp:requests_processing 0\nllamacpp:requests_deferred 0\n"},
    };
    const char *path = strchr(c->in, ' ') + 1;
    if (!strncmp(path, "/control/", 9)) return control(c, path + 9);
    for (size_t i = 0; i < sizeof PAGES / sizeof *PAGES; i++)
        if (!strncmp(path, PAGES[i].path, strlen(PAGES[i].path)))
            return answer(c, PAGES[i].kind, PAGES[i].body, strlen(PAGES[i].body));
    return answer(c, "application/json", "{\"status\":\"ok\"}", 15);
}

/* Answers a whole request. Returns 0 when the connection is gone. */
static int serve(Conn *c) {
    if (strncmp(c->in, "POST ", 5)) return get(c);
    int64_t start = now();
    if (wants_stream(c)) {
        c->streaming = 1;
        c->sent = 0;
        c->tokens = option(c, "x_tokens=", 20);
        c->interval = option(c, "x_interval_us=", 10000) * 1000;
        timer_set(c, start); /* the first token goes out in this turn of the loop */
        open_answers++;
        return 1;
    }
    long think = option(c, "x_think_ms=", 0);
    if (!think) return answer(c, "application/json", ANSWER, sizeof ANSWER - 1);
    c->thinking = 1;
    open_answers++;
    timer_set(c, start + think * 1000000);
    return 1;
}

static void readable(Conn *c) {
    for (;;) {
        if (c->in_cap - c->in_len < 2048) c->in = realloc(c->in, c->in_cap = 2 * c->in_cap + 4096);
        size_t room = c->in_cap - c->in_len - 1;
        ssize_t n = recv(c->fd, c->in + c->in_len, room, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) return drop(c, 1);
        if (n < 0) return;
        c->in_len += n;
        c->in[c->in_len] = 0; /* the string functions above stop here */
        if (!c->have_head) {
            char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
            if (!end && (size_t)n == room) continue;
            if (!end) return;
            char *length = strcasestr(c->in, "\r\ncontent-length:");
            if (!(length && length < end) && strcasestr(c->in, "\r\ntransfer-encoding:")) {
                static const char NO[] = "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n";
                if (put(c, NO, sizeof NO - 1)) drop(c, 0);
                return;
            }
            c->have_head = 1;
            c->body_at = end + 4 - c->in;
            c->body_len = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
            if (c->body_at + c->body_len + 4096 > c->in_cap) /* one growth instead of many */
                c->in = realloc(c->in, c->in_cap = c->body_at + c->body_len + 4096);
        }
        if (c->in_len >= c->body_at + c->body_len) {
            c->have_head = 0;
            c->in_len = 0;
            if (!serve(c)) return;
        }
        if ((size_t)n < room) return; /* more would have come along: what follows raises its own event */
    }
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Conn *c = conns[fd] = calloc(1, sizeof *c);
        c->fd = fd;
        c->heap_at = -1;
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: fake_upstream PORT\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 65535)) return perror("listen"), 1;
    ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        struct timespec wait = {3600, 0};
        if (heap_len) {
            int64_t left = heap[0]->due - now();
            wait = (struct timespec){left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
        }
        int n = epoll_pwait2(ep, events, 512, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                accept_all(listener);
                continue;
            }
            Conn *c = conns[events[i].data.fd];
            if (!c) continue;
            if (events[i].events & EPOLLOUT && !flush(c)) continue;
            if (events[i].events & ~EPOLLOUT) readable(c);
        }
        for (int64_t t = now(); heap_len && heap[0]->due <= t;) {
            Conn *c = heap[0];
            timer_drop(c);
            if (c->streaming) token(c);
            else {
                c->thinking = 0;
                open_answers--;
                answer(c, "application/json", ANSWER, sizeof ANSWER - 1);
            }
        }
    }
}
