/* Closed-loop load on one gateway, and the latency of single requests to several.
 *
 * load rps     --port P --connections C --seconds S --warmup S --body FILE --key K
 * load latency --ports P,P,... --rounds N --body FILE --key K    (the first port is what the others add to)
 *
 * One JSON object on standard output. A keep-alive connection that the server closed before it answered
 * is opened again and the request repeated, as clients do; that counts as a reconnect. Everything else
 * that is not a whole 200 is an error.
 */
#include "client.h"

#define MAX_CONNECTIONS 4096
#define MAX_PORTS 32
#define WARM_ROUNDS 20
#define PATIENCE_MS 10000

static char buffer[1 << 18];
static long errors, reconnects, all;
static char first_error[128] = "";
static int ep, refused;

static void failed(const char *what, int status) {
    if (!errors++) snprintf(first_error, sizeof first_error, "%s, status %d", what, status);
}

static void ask(Client *c);

static void connect_again(Client *c) {
    if (c->fd >= 0) close(c->fd);
    while (!client_open(c)) {
        failed("cannot connect", 0);
        if (++refused > 100) {
            fprintf(stderr, "load: port %d refuses connections\n", c->port);
            exit(1);
        }
        usleep(1000);
    }
    refused = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void push(Client *c) {
    int all_sent = client_send(c);
    if (all_sent > 0) return;
    /* A broken pipe shows as an end of file on reading too, with whatever answer came before it. */
    struct epoll_event e = {.events = EPOLLIN | (all_sent ? 0 : EPOLLOUT), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void ask(Client *c) {
    client_prepare(c);
    client_rewind(c);
    push(c);
}

static void lost(Client *c) {
    if (c->left < 0 && c->status == 200) { /* a body without a length ends with the connection */
        c->done = 1;
        c->keep = 0;
        return;
    }
    int stale = c->used && !c->reply_len;
    if (stale) reconnects++;
    else failed("connection closed within an answer", c->status);
    connect_again(c);
    if (!stale) client_prepare(c);
    client_rewind(c);
    push(c);
}

static int rps(int argc, char **argv) {
    int connections = number_option(argc, argv, "--connections", 64);
    int64_t warm = number_option(argc, argv, "--warmup", 0.3) * 1e9;
    int64_t begin = now(), from = begin + warm, until = from + number_option(argc, argv, "--seconds", 3) * 1e9;
    static Client clients[MAX_CONNECTIONS];
    static struct epoll_event events[MAX_CONNECTIONS];
    Samples samples = {0};
    for (int i = 0; i < connections; i++) {
        clients[i].fd = -1;
        clients[i].port = number_option(argc, argv, "--port", 0);
        connect_again(&clients[i]);
        ask(&clients[i]);
    }
    int64_t t;
    while ((t = now()) < until) {
        int ready = epoll_wait(ep, events, MAX_CONNECTIONS, 1 + (until - t) / 1000000);
        for (int i = 0; i < ready; i++) {
            Client *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                int sent = client_send(c);
                struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
                if (sent) epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
            }
            if (!(events[i].events & ~EPOLLOUT)) continue;
            ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
            if (n < 0 && errno == EAGAIN) continue;
            if (n <= 0) lost(c);
            else client_feed(c, buffer, n, NULL);
            if (c->bad) {
                failed("not an HTTP answer", c->status);
                connect_again(c);
                ask(c);
            } else if (c->done) {
                int64_t end = now();
                all++;
                c->used++;
                if (c->status != 200) failed("answer", c->status);
                else if (end >= from && end < until) sample(&samples, end - c->start);
                /* An answer may come before the whole request was taken: the rest cannot be reused. */
                if (!c->keep || c->sent < c->head_len + c->body_len) connect_again(c);
                ask(c);
            }
        }
    }
    double seconds = (until - from) / 1e9;
    printf("{\"requests\": %zu, \"all_requests\": %ld, \"errors\": %ld, \"reconnects\": %ld, \"rps\": %.1f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"first_error\": \"%s\"}\n",
           samples.len, all, errors, reconnects, samples.len / seconds, quantile(&samples, 0.5),
           quantile(&samples, 0.99), first_error);
    return 0;
}

/* One request and its whole answer; the time in ns, or -1. */
static int64_t once(Client *c) {
    client_prepare(c);
    for (int attempt = 0; attempt < 2; attempt++) {
        client_rewind(c);
        if (c->fd < 0 && !client_open(c)) break;
        for (;;) {
            int sent = client_send(c);
            struct pollfd p = {.fd = c->fd, .events = POLLIN | (sent ? 0 : POLLOUT)};
            if (!poll(&p, 1, PATIENCE_MS)) break;
            if (!(p.revents & ~POLLOUT)) continue;
            ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
            if (n < 0 && errno == EAGAIN) continue;
            if (n > 0) client_feed(c, buffer, n, NULL);
            else c->bad = 1;
            if (c->bad || c->done) break;
        }
        int64_t took = now() - c->start;
        int stale = c->used && !c->reply_len, whole = c->done && !c->bad;
        c->used++;
        if (!whole || !c->keep) {
            close(c->fd);
            c->fd = -1;
        }
        if (whole && c->status == 200) return took;
        if (!stale) break;
        reconnects++;
    }
    failed("answer", c->status);
    return -1;
}

static int latency(int argc, char **argv) {
    static Client clients[MAX_PORTS];
    Samples whole[MAX_PORTS] = {0}, added[MAX_PORTS] = {0};
    long failures[MAX_PORTS] = {0};
    int ports = 0, order[MAX_PORTS], rounds = number_option(argc, argv, "--rounds", 300) + WARM_ROUNDS;
    char *list = strdup(text_option(argc, argv, "--ports", ""));
    for (char *port = strtok(list, ","); port && ports < MAX_PORTS; port = strtok(NULL, ","), ports++) {
        clients[ports] = (Client){.fd = -1, .port = atoi(port)};
        order[ports] = ports;
    }
    srandom(now());
    for (int round = 0; round < rounds; round++) {
        int64_t took[MAX_PORTS];
        for (int i = ports - 1; i > 0; i--) {
            int j = random() % (i + 1), other = order[i];
            order[i] = order[j];
            order[j] = other;
        }
        for (int i = 0; i < ports; i++) took[order[i]] = once(&clients[order[i]]);
        for (int i = 0; i < ports; i++) {
            if (took[i] < 0) failures[i]++;
            else if (round >= WARM_ROUNDS) {
                sample(&whole[i], took[i]);
                if (took[0] >= 0) sample(&added[i], took[i] - took[0]);
            }
        }
    }
    printf("{\"reconnects\": %ld, \"ports\": [", reconnects);
    for (int i = 0; i < ports; i++)
        printf("%s{\"port\": %d, \"p50_us\": %.1f, \"added_p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %ld}",
               i ? ", " : "", clients[i].port, quantile(&whole[i], 0.5), quantile(&added[i], 0.5),
               quantile(&whole[i], 0.99), failures[i]);
    printf("]}\n");
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: load rps|latency --option value ...\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    ep = epoll_create1(0);
    bearer = text_option(argc, argv, "--key", "none");
    read_body(text_option(argc, argv, "--body", "/dev/null"));
    return strcmp(argv[1], "latency") ? rps(argc, argv) : latency(argc, argv);
}
