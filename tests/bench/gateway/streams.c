/* Many streams at once, and clients that go away.
 *
 * streams hold   --port P --streams N --ramp S --hold S --limit S --body FILE --key K
 *     Connects all, sends the requests over the ramp, waits until each has brought a token, prints
 *     {"event": "open"}, and reads on until the hold is over or all have ended. TTFT is from the sending of
 *     a request to its first "data:"; transit is from the time stamp in a token to the read that brought it,
 *     counted while all streams are open.
 * streams cancel --port P --tries N --tokens K --after-ms X --pause-ms X --body FILE --key K
 *     One connection at a time: closes it after K tokens, or X ms after sending where K is 0.
 *
 * One JSON object per line on standard output. One thread.
 */
#include "client.h"

#define LINE 1024

typedef struct {
    Client c; /* first, so that a sink can find the stream around its client */
    char line[LINE];
    size_t line_len;
    long tokens;
    int asked, over;
} Stream;

static char buffer[1 << 16];
static Samples ttft, transit;
static int64_t arrived; /* of the bytes being parsed */
static long tokens, answered, finished, errors;
static int all_open;
static char first_error[128] = "";

static void failed(const char *what, Client *c) {
    if (errors++) return;
    char text[64] = "";
    for (size_t i = 0; i < sizeof text - 1 && c->reply[i] >= ' ' && c->reply[i] != '"'; i++) text[i] = c->reply[i];
    snprintf(first_error, sizeof first_error, "%s: %s", what, text);
}

static void on_line(Stream *s) {
    if (strncmp(s->line, "data:", 5)) return;
    if (!s->tokens) {
        sample(&ttft, arrived - s->c.start);
        answered++;
    }
    const char *stamp = strstr(s->line, "t=");
    if (!stamp || stamp[2] < '0' || stamp[2] > '9') return;
    s->tokens++;
    tokens++;
    if (all_open) sample(&transit, arrived - atoll(stamp + 2));
}

static void on_body(Client *c, const char *data, size_t n) {
    Stream *s = (Stream *)c;
    if (c->status != 200) return;
    for (size_t i = 0; i < n; i++) {
        if (data[i] != '\n') {
            if (s->line_len < LINE - 1) s->line[s->line_len++] = data[i];
            continue;
        }
        s->line[s->line_len] = 0;
        on_line(s);
        s->line_len = 0;
    }
}

/* Reads what is there; marks the stream as over at its end. */
static void on_readable(Stream *s) {
    ssize_t n = recv(s->c.fd, buffer, sizeof buffer, 0);
    arrived = now();
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) client_feed(&s->c, buffer, n, on_body);
    int ended = s->c.done || (n == 0 && s->c.left < 0 && s->c.status == 200);
    if (!ended && n > 0 && !s->c.bad) return;
    if (ended && s->c.status == 200 && s->tokens) finished++;
    else failed(ended ? "answer" : "cut off", &s->c);
    s->over = 1;
    close(s->c.fd);
}

static int hold(int argc, char **argv) {
    int count = number_option(argc, argv, "--streams", 100), ep = epoll_create1(0), sent = 0, over = 0;
    int64_t ramp = number_option(argc, argv, "--ramp", 0) * 1e9, length = number_option(argc, argv, "--hold", 10) * 1e9;
    Stream *streams = calloc(count, sizeof *streams);
    static struct epoll_event events[1024];
    for (int i = 0; i < count; i++) {
        Stream *s = &streams[i];
        s->c.port = number_option(argc, argv, "--port", 0);
        if (!client_open(&s->c)) {
            failed("cannot connect", &s->c);
            s->over = 1;
            over++;
            continue;
        }
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(ep, EPOLL_CTL_ADD, s->c.fd, &e);
    }
    int64_t begin = now(), limit = begin + number_option(argc, argv, "--limit", 30) * 1e9, opened = 0;
    while (over < count && now() < (opened ? opened + length : limit)) {
        int64_t t = now(), due = t + 100000000;
        while (sent < count && (due = begin + ramp / count * sent) <= t) {
            Stream *s = &streams[sent++];
            if (s->over) continue;
            client_prepare(&s->c);
            client_rewind(&s->c);
            s->asked = 1;
            /* Bodies here are small; what a fresh socket does not take whole is a fault. */
            if (client_send(&s->c) < 1) {
                failed("cannot send", &s->c);
                s->over = 1;
                over++;
                close(s->c.fd);
            }
            due = t + 100000000;
        }
        struct timespec wait = {0, due > t ? due - t : 0};
        int ready = epoll_pwait2(ep, events, 1024, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            Stream *s = events[i].data.ptr;
            on_readable(s);
            over += s->over;
        }
        if (!opened && sent == count && answered + errors >= count) {
            opened = now();
            all_open = 1;
            printf("{\"event\": \"open\", \"answered\": %ld, \"errors\": %ld}\n", answered, errors);
            fflush(stdout);
        }
    }
    double seconds = (now() - (opened ? opened : begin)) / 1e9;
    printf("{\"streams\": %d, \"answered\": %ld, \"finished\": %ld, \"errors\": %ld, \"tokens\": %ld, \"seconds\": %.3f, "
           "\"ttft_p50_us\": %.1f, \"ttft_p99_us\": %.1f, \"transit_p50_us\": %.1f, \"transit_p99_us\": %.1f, "
           "\"transits\": %zu, \"first_error\": \"%s\"}\n",
           count, answered, finished, errors, tokens, seconds, quantile(&ttft, 0.5), quantile(&ttft, 0.99),
           quantile(&transit, 0.5), quantile(&transit, 0.99), transit.len, first_error);
    return 0;
}

static int cancel(int argc, char **argv) {
    int tries = number_option(argc, argv, "--tries", 20), wanted = number_option(argc, argv, "--tokens", 3);
    int64_t after = number_option(argc, argv, "--after-ms", 50) * 1e6;
    long pause = number_option(argc, argv, "--pause-ms", 100) * 1000;
    const char *comma = "";
    static Stream s;
    printf("{\"closes\": [");
    for (int i = 0; i < tries; i++) {
        memset(&s, 0, sizeof s);
        s.c.port = number_option(argc, argv, "--port", 0);
        client_prepare(&s.c);
        client_rewind(&s.c);
        if (!client_open(&s.c) || client_send(&s.c) < 1) {
            failed("cannot send", &s.c);
            continue;
        }
        int64_t until = s.c.start + (wanted ? 10000000000LL : after);
        for (int64_t t; !s.over && (!wanted || s.tokens < wanted) && (t = now()) < until;) {
            struct pollfd p = {.fd = s.c.fd, .events = POLLIN};
            struct timespec wait = {(until - t) / 1000000000, (until - t) % 1000000000};
            if (ppoll(&p, 1, &wait, NULL) > 0) on_readable(&s);
        }
        if (!s.over) {
            int64_t moment = now();
            close(s.c.fd);
            if (s.tokens < wanted) failed("too few tokens", &s.c);
            else printf("%s%lld", comma, (long long)moment);
            comma = s.tokens < wanted ? comma : ", ";
        }
        usleep(pause);
    }
    printf("], \"errors\": %ld, \"first_error\": \"%s\"}\n", errors, first_error);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: streams hold|cancel --option value ...\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    bearer = text_option(argc, argv, "--key", "none");
    read_body(text_option(argc, argv, "--body", "/dev/null"));
    return strcmp(argv[1], "cancel") ? hold(argc, argv) : cancel(argc, argv);
}
