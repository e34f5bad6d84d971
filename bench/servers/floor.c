/* The floor: a server that makes only the system calls. It accepts, answers the upgrade, reads and discards, and writes
 * one prepared frame to each receiver. It does one command a line of its standard input, as the other helpers do. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 100000, EVENTS = 512, PER_TURN = 64, PAYLOAD = 100 };

static int connections[MAX_CONNECTIONS], count, listener, queue;
static long received;
static unsigned char frame[PAYLOAD + 2];
static const char answer[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double cpu_ms(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static long rss_bytes(void) {
  long size = 0, resident = 0;
  FILE *statm = fopen("/proc/self/statm", "r");
  if (statm == NULL) return 0;
  if (fscanf(statm, "%ld %ld", &size, &resident) != 2) resident = 0;
  fclose(statm);
  return resident * sysconf(_SC_PAGESIZE);
}

static void watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(void) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(fd);
  }
}

/* A handshake of the load comes whole; every later frame of a client is discarded. */
static void read_from(int fd) {
  char bytes[4096];
  ssize_t got = read(fd, bytes, sizeof bytes);
  if (got <= 0 && errno != EAGAIN) close(fd);
  if (got > 0 && memcmp(bytes, "GET ", got < 4 ? (size_t)got : 4) != 0) received++;
  if (got < 4 || memcmp(bytes, "GET ", 4) != 0 || count == MAX_CONNECTIONS) return;
  if (write(fd, answer, sizeof answer - 1) > 0) connections[count++] = fd;
}

static void deliver(int fd) {
  while (write(fd, frame, sizeof frame) < 0 && errno == EAGAIN) {
    struct pollfd until = {.fd = fd, .events = POLLOUT};
    poll(&until, 1, -1);
  }
}

static double number_in(const char *line, const char *name) {
  const char *at = strstr(line, name);
  return at == NULL ? 0 : atof(at + strlen(name));
}

static void serve(int timeout_ms);

/* Random receivers for some seconds, or so many broadcasts, one each so many ms. */
static void run(const char *line) {
  int id = (int)number_in(line, "\"id\":"), times = (int)number_in(line, "\"times\":");
  double every = number_in(line, "\"everyMs\":"), seconds = number_in(line, "\"seconds\":");
  long sent = 0;
  double cpu = cpu_ms(), start = now_ms();
  if (strstr(line, "\"random\"") != NULL && count > 0)
    while (now_ms() - start < seconds * 1e3) {
      for (int i = 0; i < PER_TURN; i++, sent++) deliver(connections[rand() % count]);
      serve(0);
    }
  if (strstr(line, "\"broadcast\"") != NULL)
    for (int turn = 0; turn < times; turn++) {
      for (int i = 0; i < count; i++, sent++) deliver(connections[i]);
      double left = start + (turn + 1) * every - now_ms();
      if (left > 0) usleep((useconds_t)(left * 1e3));
    }
  struct sockaddr_in at;
  socklen_t size = sizeof at;
  getsockname(listener, (struct sockaddr *)&at, &size);
  printf("{\"id\":%d,\"answer\":{\"port\":%d,\"connections\":%d,\"received\":%ld,\"sent\":%ld,\"ms\":%f,\"cpuMs\":%f,", id,
         ntohs(at.sin_port), count, received, sent, now_ms() - start, cpu_ms() - cpu);
  printf("\"totalCpuMs\":%f,\"rssBytes\":%ld}}\n", cpu_ms(), rss_bytes());
  fflush(stdout);
}

static void serve(int timeout_ms) {
  struct epoll_event events[EVENTS];
  int ready = epoll_wait(queue, events, EVENTS, timeout_ms);
  for (int i = 0; i < ready; i++) {
    int fd = events[i].data.fd;
    if (fd == listener) accept_all();
    else if (fd != STDIN_FILENO) read_from(fd);
    else if (timeout_ms != 0) {
      char line[1024];
      if (fgets(line, sizeof line, stdin) == NULL) exit(0);
      run(line);
    }
  }
}

int main(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  setvbuf(stdin, NULL, _IONBF, 0);
  frame[0] = 0x81;
  frame[1] = PAYLOAD;
  memset(frame + 2, 'x', PAYLOAD);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0) return 1;
  queue = epoll_create1(0);
  watch(listener);
  watch(STDIN_FILENO);
  for (;;) serve(-1);
}
