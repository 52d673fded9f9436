/* SPDX-License-Identifier: Apache-2.0
 * What the cases of conformance talk to. `answer http PORT`: pages over HTTP/1, and words over UDP on the same port.
 *   /hostname  /clientip (address and port)  /echo?TEXT  /healthz  /fail-after?SECONDS (500 after so long)  /code?N  /to?URL (redirect)
 *   UDP: "hostname", "clientip", "echo TEXT". Each request is a line of its output.
 * `answer grpc PORT`: the health service of gRPC, SERVING to whoever asks.
 * `answer udp ADDRESS PORT WORDS` sends the words, and prints the answer. `answer uid` says as whom it runs.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static time_t begun;
static int port;

static int bound(int kind) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, kind, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&any, sizeof any) || (kind == SOCK_STREAM && listen(fd, 128))) {
        perror("answer");
        exit(1);
    }
    return fd;
}

static void about(const char *word, const char *text, struct sockaddr_in *from, char *out, size_t size) {
    if (!strcmp(word, "hostname"))
        gethostname(out, size);
    else if (!strcmp(word, "clientip"))
        snprintf(out, size, "%s:%d", inet_ntoa(from->sin_addr), ntohs(from->sin_port));
    else
        snprintf(out, size, "%s", text);
}

static void *udp(void *given) {
    int fd = bound(SOCK_DGRAM);
    (void)given;
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        char text[1024], out[1100];
        int n = recvfrom(fd, text, sizeof text - 1, 0, (void *)&from, &size);
        if (n < 0) continue;
        text[n] = 0;
        text[strcspn(text, "\r\n")] = 0;
        char *rest = strchr(text, ' ');
        if (rest) *rest++ = 0;
        about(text, rest ? rest : text, &from, out, sizeof out - 2);
        sendto(fd, out, strlen(out), 0, (void *)&from, size);
    }
}

static void page(int fd, struct sockaddr_in *from, char *path, const char *head) {
    char body[2048] = "", out[4096], more[1100] = "";
    int code = 200;
    char *query = strchr(path, '?');
    if (query) *query++ = 0; else query = "";
    if (!strcmp(path, "/fail-after")) {
        code = time(0) - begun > atoi(query) ? 500 : 200;
        snprintf(body, sizeof body, "%ld s", (long)(time(0) - begun));
    } else if (!strcmp(path, "/code")) {
        code = atoi(query);
    } else if (!strcmp(path, "/to")) {
        code = 302;
        snprintf(more, sizeof more, "Location: %s\r\n", query);
    } else if (!strcmp(path, "/head")) {
        snprintf(body, sizeof body, "%s", head);
    } else if (!strcmp(path, "/healthz")) {
        strcpy(body, "ok");
    } else if (path[1]) {
        about(path + 1, query, from, body, sizeof body);
    } else {
        gethostname(body, sizeof body);
    }
    int n = snprintf(out, sizeof out, "HTTP/1.1 %d x\r\nContent-Type: text/plain\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     code, more, strlen(body), body);
    write(fd, out, n);
}

struct one { int fd; struct sockaddr_in from; };

static void *serve(void *given) {
    struct one one = *(struct one *)given;
    char head[8192], line[1200], *path;
    int n = 0, more;
    free(given);
    while (n < (int)sizeof head - 1 && (more = read(one.fd, head + n, sizeof head - 1 - n)) > 0) {
        head[n += more] = 0;
        if (strstr(head, "\r\n\r\n")) break;
    }
    head[n] = 0;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(head, "\r\n"), head);
    if (n) printf("%s %s\n", inet_ntoa(one.from.sin_addr), line), fflush(stdout);
    if ((path = strchr(line, ' ')) && *++path == '/') {
        path[strcspn(path, " ")] = 0;
        page(one.fd, &one.from, path, head);
    }
    shutdown(one.fd, SHUT_WR);
    while (read(one.fd, head, sizeof head) > 0) {}
    close(one.fd);
    return 0;
}

static void frame(int fd, int kind, int flags, unsigned stream, const void *data, int size) {
    unsigned char out[256] = {0, size >> 8, size, kind, flags, stream >> 24, stream >> 16, stream >> 8, stream};
    memcpy(out + 9, data, size);
    write(fd, out, 9 + size);
}

static int all(int fd, void *to, int size) {
    for (int n = 0, more; n < size; n += more)
        if ((more = read(fd, (char *)to + n, size - n)) <= 0) return 0;
    return 1;
}

/* HTTP/2 as far as one call needs it: each stream that ends is answered with SERVING. */
static void *grpc(void *given) {
    struct one one = *(struct one *)given;
    unsigned char h[9], data[65536];
    static const char begin[] = "\x88\x0f\x10\x10" "application/grpc", end[] = "\x00\x0bgrpc-status\x01" "0";
    free(given);
    if (!all(one.fd, data, 24)) goto out;
    frame(one.fd, 4, 0, 0, "", 0);
    while (all(one.fd, h, 9)) {
        int size = h[0] << 16 | h[1] << 8 | h[2];
        unsigned stream = (h[5] & 127) << 24 | h[6] << 16 | h[7] << 8 | h[8];
        if (size > (int)sizeof data || !all(one.fd, data, size)) break;
        if (h[3] == 4 && !(h[4] & 1)) frame(one.fd, 4, 1, 0, "", 0);
        if (h[3] == 6 && !(h[4] & 1)) frame(one.fd, 6, 1, 0, data, 8);
        if (h[3] <= 1 && (h[4] & 1)) {
            frame(one.fd, 1, 4, stream, begin, sizeof begin - 1);
            frame(one.fd, 0, 0, stream, "\0\0\0\0\2\x08\x01", 7);
            frame(one.fd, 1, 5, stream, end, sizeof end - 1);
        }
    }
out:
    close(one.fd);
    return 0;
}

static int ask(char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[3]))};
    struct timeval wait = {.tv_sec = 1};
    char text[1024];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_aton(words[2], &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (void *)&to, sizeof to)) return 1;
    send(fd, words[4], strlen(words[4]), 0);
    int n = recv(fd, text, sizeof text, 0);
    return n < 0 || write(1, text, n) != n || write(1, "\n", 1) != 1;
}

int main(int count, char **words) {
    void *(*how)(void *) = count > 1 && !strcmp(words[1], "grpc") ? grpc : serve;
    pthread_t thread;
    if (count > 1 && !strcmp(words[1], "uid")) {
        printf("Effective uid: %d\n", geteuid());
        return 0;
    }
    if (count > 4 && !strcmp(words[1], "udp")) return ask(words);
    port = count > 2 ? atoi(words[2]) : 8080;
    begun = time(0);
    signal(SIGPIPE, SIG_IGN);
    if (how == serve) pthread_create(&thread, 0, udp, 0);
    for (int fd = bound(SOCK_STREAM);;) {
        struct one *one = malloc(sizeof *one);
        socklen_t size = sizeof one->from;
        one->fd = accept(fd, (void *)&one->from, &size);
        if (one->fd < 0 || pthread_create(&thread, 0, how, one)) { free(one); continue; }
        pthread_detach(thread);
    }
}
