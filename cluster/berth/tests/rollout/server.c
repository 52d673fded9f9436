// SPDX-License-Identifier: Apache-2.0
// An HTTP server as strict as there may be one: on SIGTERM it takes what has connected, closes its port at once, finishes what is under way,
// and tells those who keep their connection that it ends. Whoever connects later is refused.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ending;
static int open_now;

static void end(int signal) { ending = 1; }

static long now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000L + at.tv_nsec / 1000000;
}

static void *serve(void *given) {
  int fd = (int)(long)given, have = 0;
  char buffer[8192], answer[256], name[64];
  long since = now_ms();
  gethostname(name, sizeof name);
  for (;;) {
    struct pollfd one = {fd, POLLIN, 0};
    // Who sends nothing for a second after SIGTERM learns of the end by the end itself.
    if (ending && now_ms() - since > 1000) break;
    if (poll(&one, 1, 50) <= 0) continue;
    int got = read(fd, buffer + have, sizeof buffer - 1 - have);
    if (got <= 0) break;
    have += got;
    buffer[have] = 0;
    if (!strstr(buffer, "\r\n\r\n")) continue;
    // Something has to be under way when the signal comes.
    usleep(5000);
    int last = ending || strstr(buffer, "Connection: close") != 0;
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s",
                          (int)strlen(name), last ? "Connection: close\r\n" : "", name);
    if (write(fd, answer, length) != length || last) break;
    have = 0;
    since = now_ms();
  }
  close(fd);
  __sync_fetch_and_sub(&open_now, 1);
  return 0;
}

static void begin(int fd) {
  pthread_t thread;
  __sync_fetch_and_add(&open_now, 1);
  pthread_create(&thread, 0, serve, (void *)(long)fd);
  pthread_detach(thread);
}

int main(void) {
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, 0);
  signal(SIGPIPE, SIG_IGN);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
  if (bind(listener, (void *)&at, sizeof at) || listen(listener, 1024)) return 1;
  while (!ending) {
    struct pollfd waits = {listener, POLLIN, 0};
    poll(&waits, 1, 10);
    for (int fd; (fd = accept(listener, 0, 0)) >= 0;) begin(fd);
  }
  for (int fd; (fd = accept(listener, 0, 0)) >= 0;) begin(fd);
  close(listener);
  for (long since = now_ms(); open_now > 0 && now_ms() - since < 20000;) usleep(5000);
  return 0;
}
