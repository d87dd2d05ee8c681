/* Ends the process that it is loaded into, as kill -9 does, at one point of its writing to one database.
 *
 * It is loaded by LD_PRELOAD into the programs as they are shipped, so that these carry nothing for tests. It sees every
 * write of SQLite because that calls the C library for it. Points are counted from 1, in this process alone:
 *
 *   CRASH_FILE    the database; its log (-wal) and its journal (-journal) belong to it
 *   CRASH_AT      the point at which the process ends
 *   CRASH_POINTS  "writes": before every write. Otherwise the bounds of transactions: before the first write of one, between
 *                 the head and the page of the frame that commits it, and as soon as that page is written; beside the log,
 *                 before the first and the second write in a row (a database that is made, a checkpoint).
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long points;
static int in_transaction, commits, beside;

enum { NOTHING, DATABASE, LOG };

static int kind_of(int fd)
{
    const char *file = getenv("CRASH_FILE");
    char link[64] = "/proc/self/fd/", name[PATH_MAX], digits[16];
    int at = 14, count = 0;
    if (!file || fd < 3)
        return NOTHING;
    do
        digits[count++] = (char)('0' + fd % 10);
    while (fd /= 10);
    while (count)
        link[at++] = digits[--count];
    ssize_t length = readlink(link, name, sizeof name - 1), wanted = (ssize_t)strlen(file);
    if (length < wanted)
        return NOTHING;
    name[length] = 0;
    if (strncmp(name, file, (size_t)wanted))
        return NOTHING;
    if (!strcmp(name + wanted, "-wal"))
        return LOG;
    return !name[wanted] || !strcmp(name + wanted, "-journal") ? DATABASE : NOTHING;
}

static void point(void)
{
    const char *at = getenv("CRASH_AT");
    if (++points == (at ? atol(at) : -1)) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
}

static ssize_t put(int fd, const void *data, size_t size, off64_t offset, int placed)
{
    return placed ? syscall(SYS_pwrite64, fd, data, size, offset) : syscall(SYS_write, fd, data, size);
}

static ssize_t seen(int fd, const void *data, size_t size, off64_t offset, int placed)
{
    int kind = kind_of(fd);
    if (kind == NOTHING)
        return put(fd, data, size, offset, placed);
    pthread_mutex_lock(&lock);
    const unsigned char *head = data;
    const char *mode = getenv("CRASH_POINTS");
    int every = mode && !strcmp(mode, "writes"), ends = 0;
    beside = kind == LOG ? 0 : beside + 1;
    if (every) {
        point();
    } else if (kind == LOG) {
        if (!in_transaction) {
            point();
            in_transaction = 1;
        }
        if (commits) {
            point();
            commits = 0;
            ends = 1;
        } else if (size == 24) {
            commits = head[4] || head[5] || head[6] || head[7];
        }
    } else if (beside <= 2) {
        point();
    }
    ssize_t written = put(fd, data, size, offset, placed);
    if (ends) {
        in_transaction = 0;
        point();
    }
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return seen(fd, data, size, 0, 0);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return seen(fd, data, size, offset, 1);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return seen(fd, data, size, offset, 1);
}
