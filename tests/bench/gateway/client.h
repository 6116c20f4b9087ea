/* One HTTP/1.1 client connection: its request, and a parser that follows the answer to its end.
 *
 * Shared by load.c and streams.c. Requests differ from each other, so that no gateway profits from
 * identical heads or prompts: a counter replaces the marker in the body, and 0-63 spaces follow it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MARKER "@@@@@@@@@@@@@@@@"
#define PADDING 64

typedef struct {
    int fd, port, used;                              /* used: answers this connection has brought */
    char head[512];                                  /* of the request */
    size_t head_len, body_len, sent;
    int64_t start;
    char reply[2048];                                /* head of the answer */
    size_t reply_len;
    int status, chunked, keep, done, size_seen, bad; /* bad: not HTTP as we know it */
    long left;                                       /* bytes of body or chunk to come; -1: until close */
} Client;

typedef void (*Sink)(Client *, const char *, size_t);

typedef struct {
    int64_t *at;
    size_t len, cap;
} Samples;

static char *body_text, *body_marker;
static size_t body_size;
static const char *bearer;
static uint64_t request_count;

static inline int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void sample(Samples *s, int64_t value) {
    if (s->len == s->cap) s->at = realloc(s->at, (s->cap = 2 * s->cap + 4096) * sizeof *s->at);
    s->at[s->len++] = value;
}

static inline int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The quantile in microseconds; sorts in place. */
static inline double quantile(Samples *s, double q) {
    if (!s->len) return -1;
    qsort(s->at, s->len, sizeof *s->at, by_value);
    size_t at = q * s->len;
    return s->at[at < s->len ? at : s->len - 1] / 1000.0;
}

static inline const char *text_option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 2; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], name)) return argv[i + 1];
    return otherwise;
}

static inline double number_option(int argc, char **argv, const char *name, double otherwise) {
    const char *text = text_option(argc, argv, name, NULL);
    return text ? atof(text) : otherwise;
}

static inline void read_body(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    body_size = ftell(file);
    rewind(file);
    body_text = malloc(body_size + PADDING);
    if (fread(body_text, 1, body_size, file) != body_size) exit(1);
    fclose(file);
    memset(body_text + body_size, ' ', PADDING);
    body_marker = memmem(body_text, body_size, MARKER, strlen(MARKER));
}

/* Connects; returns 0 on failure. Blocking: on loopback this waits only while a backlog is full. */
static inline int client_open(Client *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->used = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) return 0;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        close(c->fd);
        c->fd = -1;
        return 0;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return 1;
}

/* Makes the next request; nothing is written yet. */
static inline void client_prepare(Client *c) {
    char count[17];
    c->body_len = body_size + request_count * 37 % PADDING;
    if (body_marker) memcpy(body_marker, count, sprintf(count, "%016llx", (unsigned long long)request_count));
    request_count++;
    c->head_len = snprintf(c->head, sizeof c->head,
                           "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                           "User-Agent: hearth-bench/1\r\nAccept: application/json, text/event-stream\r\n"
                           "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           c->port, bearer, c->body_len);
    c->start = now();
}

/* Back to the first byte of the same request, with no answer yet. */
static inline void client_rewind(Client *c) {
    c->sent = c->reply_len = 0;
    c->status = c->chunked = c->done = c->size_seen = c->bad = 0;
    c->keep = 1;
    c->left = 0;
}

/* Writes what the socket takes: 1 all of it, 0 more to come, -1 broken. */
static inline int client_send(Client *c) {
    while (c->sent < c->head_len + c->body_len) {
        struct iovec parts[2] = {{c->head, c->head_len}, {body_text, c->body_len}};
        if (c->sent < c->head_len) {
            parts[0].iov_base = c->head + c->sent;
            parts[0].iov_len = c->head_len - c->sent;
        } else {
            parts[0].iov_len = 0;
            parts[1].iov_base = body_text + (c->sent - c->head_len);
            parts[1].iov_len = c->body_len - (c->sent - c->head_len);
        }
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->sent += n;
    }
    return 1;
}

static inline void client_head(Client *c) {
    const char *length = strcasestr(c->reply, "\r\ncontent-length:");
    c->status = strncmp(c->reply, "HTTP/1.", 7) ? 0 : atoi(c->reply + 9);
    c->bad = c->status < 200;
    c->keep = !strcasestr(c->reply, "\r\nconnection: close");
    c->chunked = strcasestr(c->reply, "\r\ntransfer-encoding: chunked") != NULL;
    c->left = c->chunked ? 0 : length ? atol(length + 17) : -1;
    c->done = !c->chunked && c->left == 0;
}

/* Follows the answer through `n` more bytes and hands its body to `sink`, where there is one. */
static inline void client_feed(Client *c, const char *data, size_t n, Sink sink) {
    while (n && !c->done && !c->bad) {
        if (!c->status) {
            if (c->reply_len == sizeof c->reply - 1) {
                c->bad = 1;
                return;
            }
            /* The line end after the last chunk of the answer before may arrive with this one. */
            if (c->reply_len || (*data != '\r' && *data != '\n')) c->reply[c->reply_len++] = *data;
            c->reply[c->reply_len] = 0;
            data++;
            n--;
            if (c->reply_len > 3 && !memcmp(c->reply + c->reply_len - 4, "\r\n\r\n", 4)) client_head(c);
        } else if (c->chunked && !c->left) {
            /* Between chunks: the end of the last one, then a size in hex, then a line end. */
            char byte = *data++;
            n--;
            if (byte == '\n' && c->size_seen) {
                c->done = c->size_seen == 1; /* a size of 0 */
                c->left = c->size_seen - 1;
                c->size_seen = 0;
            } else if (byte != '\r' && byte != '\n') {
                int digit = byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10;
                c->size_seen = (c->size_seen ? c->size_seen - 1 : 0) * 16 + digit + 1;
                c->bad = digit < 0 || digit > 15;
            }
        } else {
            size_t part = c->left < 0 || (size_t)c->left > n ? n : (size_t)c->left;
            if (sink) sink(c, data, part);
            data += part;
            n -= part;
            if (c->left > 0) c->left -= part;
            if (!c->chunked && !c->left) c->done = 1;
        }
    }
}
