/* A disk that fails: preloaded into a process, it has calls on files below one folder fail, or be slow or short, by a schedule.
 *
 * RDP_DISK_ROOT    the folder
 * RDP_DISK_FAULTS  call:what:place:first:length, separated by spaces; src/disk/fault.rs says what each means
 * RDP_DISK_LOG     a file that gets a line for each strike
 *
 * Names are given by renameat2, which Rust's rustix calls past libc: the kernel is told to trap that one call. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define ARGUMENT(context, n) ((context)->uc_mcontext.gregs[(const int[]){REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8}[n]])
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define ARGUMENT(context, n) ((context)->uc_mcontext.regs[n])
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#else
#error "tell here where a trapped call of this processor has its arguments"
#endif

/* The sixth argument of a renameat2 of our own, which has five: such a one is not trapped. */
#define OURS 0x52445044

struct fault {
    char call[16], place[16];
    int error, after, shorter, delay;
    long first, count, millis;
    _Atomic long met;
    _Atomic long long until;
};

static struct fault faults[16];
static int fault_count;
static char roots[2][PATH_MAX];
static const char *log_path;
static _Atomic long strikes;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static const struct { const char *name; int number; } errors[] = {
#define E(name) {#name, name}
    E(EIO), E(ENOSPC), E(EDQUOT), E(EACCES), E(EPERM), E(EROFS), E(EMFILE), E(ENFILE), E(ENOENT), E(ESTALE), E(EEXIST),
    E(EINTR), E(EAGAIN), E(ENOMEM), E(EBUSY), E(EXDEV), E(ENAMETOOLONG), E(ETIMEDOUT), E(ENOTEMPTY), E(EINVAL), E(ENOSYS),
    E(EFBIG), E(EMLINK), E(ENOTDIR), E(ELOOP), E(EHOSTDOWN),
};

static void die(const char *why) {
    fprintf(stderr, "disk.c: %s\n", why);
    _exit(99);
}

/* What a path is in a landing; nothing where it is none of it. */
static const char *place_of(const char *path) {
    for (int i = 0; path && i < 2; i++) {
        size_t length = strlen(roots[i]);
        if (!length || strncmp(path, roots[i], length) || (path[length] && path[length] != '/')) continue;
        const char *name = strrchr(path, '/') + 1, *end = strrchr(name, '.');
        if (!path[length]) return "root";
        if (!strncmp(name, "topic=", 6)) return "topic";
        if (!strncmp(name, "partition=", 10)) return "partition";
        if (!strncmp(name, "_claim", 6) || !strncmp(name, "._claim", 7)) return "claim";
        if (end && !strcmp(end, ".parquet")) return "file";
        return end && !strcmp(end, ".tmp") ? "temporary" : "other";
    }
    return NULL;
}

static void note(const char *call, const char *place, const char *path) {
    char line[PATH_MAX + 64];
    int kept = errno, length = snprintf(line, sizeof line, "%s %s %s\n", call, place, path);
    if (log_path && atomic_fetch_add(&strikes, 1) < 5000) {
        int file = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (file >= 0) {
            syscall(SYS_write, file, line, (size_t)length);
            syscall(SYS_close, file);
        }
    }
    errno = kept;
}

/* Whether this call is one that a fault strikes. */
static int is_due(struct fault *fault) {
    long nth = atomic_fetch_add(&fault->met, 1) + 1;
    if (nth < fault->first) return 0;
    if (fault->count) return nth < fault->first + fault->count;
    if (!fault->millis) return 1;
    long long none = 0;
    atomic_compare_exchange_strong(&fault->until, &none, now() + fault->millis);
    return now() < atomic_load(&fault->until);
}

/* The fault that strikes this call; what is slow is slow here. */
static struct fault *strike(const char *call, const char *path) {
    const char *place = place_of(path);
    if (!place) return NULL;
    for (struct fault *fault = faults; fault < faults + fault_count; fault++) {
        if (strcmp(fault->call, "any") && strcmp(fault->call, call)) continue;
        if (strcmp(fault->place, "any") && strcmp(fault->place, place)) continue;
        if (!is_due(fault)) continue;
        note(call, place, path);
        if (!fault->delay) return fault;
        int kept = errno;
        struct timespec pause = {fault->delay / 1000, fault->delay % 1000 * 1000000L};
        while (nanosleep(&pause, &pause)) {}
        errno = kept;
    }
    return NULL;
}

static struct fault *strike_fd(const char *call, int fd, char *path) {
    char link[64];
    if (fd <= STDERR_FILENO) return NULL;
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)PATH_MAX - 1);
    errno = kept;
    if (length <= 0) return NULL;
    path[length] = 0;
    return strike(call, path);
}

/* Before the call: fails it. */
#define BEFORE(fault, failed) \
    if ((fault) && (fault)->error && !(fault)->after) { errno = (fault)->error; return failed; }
/* After it: an error is answered although it was done. */
#define AFTER(fault, result, failed, undo) \
    if ((fault) && (fault)->error && (fault)->after && (result) != (failed)) { undo; errno = (fault)->error; return failed; }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        struct fault *fault = strike(flags & O_CREAT ? "create" : "open", path); \
        BEFORE(fault, -1) \
        int result = real(path, flags, mode); \
        AFTER(fault, result, -1, close(result)) \
        return result; \
    }
OPEN(open)
OPEN(open64)

#define CALL(word, path, name, parameters, arguments) \
    int name parameters { \
        REAL(name); \
        struct fault *fault = strike(word, path); \
        BEFORE(fault, -1) \
        int result = real arguments; \
        AFTER(fault, result, -1, ) \
        return result; \
    }
CALL("mkdir", path, mkdir, (const char *path, mode_t mode), (path, mode))
CALL("unlink", path, unlink, (const char *path), (path))
CALL("unlink", path, rmdir, (const char *path), (path))
CALL("rename", to, rename, (const char *from, const char *to), (from, to))
CALL("link", to, link, (const char *from, const char *to), (from, to))
CALL("link", to, linkat, (int at, const char *from, int to_at, const char *to, int flags), (at, from, to_at, to, flags))

int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
    REAL(statx);
    char of_fd[PATH_MAX];
    /* Rust asks for none to see whether there is such a call; the header says that there always is one. */
    const char *volatile of = path;
    struct fault *fault = !of ? NULL : *of ? strike("stat", of) : strike_fd("stat", at, of_fd);
    BEFORE(fault, -1)
    int result = real(at, path, flags, mask, found);
    AFTER(fault, result, -1, )
    return result;
}

DIR *opendir(const char *path) {
    REAL(opendir);
    struct fault *fault = strike("list", path);
    BEFORE(fault, NULL)
    DIR *result = real(path);
    AFTER(fault, result, NULL, closedir(result))
    return result;
}

struct dirent64 *readdir64(DIR *folder) {
    REAL(readdir64);
    char path[PATH_MAX];
    struct fault *fault = strike_fd("next", dirfd(folder), path);
    BEFORE(fault, NULL)
    struct dirent64 *result = real(folder);
    AFTER(fault, result, NULL, )
    return result;
}

#define SYNC(name) \
    int name(int fd) { \
        REAL(name); \
        char path[PATH_MAX]; \
        struct fault *fault = strike_fd("sync", fd, path); \
        BEFORE(fault, -1) \
        int result = real(fd); \
        AFTER(fault, result, -1, ) \
        return result; \
    }
SYNC(fsync)
SYNC(fdatasync)

#define MOVE(word, name, parameters, arguments, size) \
    ssize_t name parameters { \
        REAL(name); \
        char path[PATH_MAX]; \
        struct fault *fault = strike_fd(word, fd, path); \
        BEFORE(fault, -1) \
        if (fault && fault->shorter && size > 1) size /= 2; \
        ssize_t result = real arguments; \
        AFTER(fault, result, -1, ) \
        return result; \
    }
MOVE("write", write, (int fd, const void *bytes, size_t size), (fd, bytes, size), size)
MOVE("read", read, (int fd, void *bytes, size_t size), (fd, bytes, size), size)
MOVE("read", pread64, (int fd, void *bytes, size_t size, off64_t at), (fd, bytes, size, at), size)

/* A renameat2: the kernel's answer, an error as a negative number. */
static long give_name(long at, const char *from, long to_at, const char *to, long flags) {
    struct fault *fault = strike("name", to);
    if (fault && fault->error && !fault->after) return -fault->error;
    long result = syscall(SYS_renameat2, at, from, to_at, to, flags, OURS);
    if (result) return -errno;
    return fault && fault->error ? -fault->error : 0;
}

static void trapped(int signal, siginfo_t *info, void *raw) {
    (void)signal, (void)info;
    ucontext_t *context = raw;
    int kept = errno;
    RESULT(context) = give_name((int)ARGUMENT(context, 0), (const char *)ARGUMENT(context, 1), (int)ARGUMENT(context, 2),
                                (const char *)ARGUMENT(context, 3), (long)ARGUMENT(context, 4));
    errno = kept;
}

static void trap_names(void) {
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OURS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        die("the kernel does not trap calls for us");
}

static void parse(char *word) {
    struct fault *fault = &faults[fault_count];
    char *rest = word, *part[5];
    for (int i = 0; i < 5; i++)
        if (!(part[i] = strsep(&rest, ":"))) die("a fault has five parts");
    if (rest || fault_count == sizeof faults / sizeof *faults) die("too much of a schedule");
    snprintf(fault->call, sizeof fault->call, "%s", part[0]);
    snprintf(fault->place, sizeof fault->place, "%s", part[2]);
    char *plus = strchr(part[1], '+');
    if (plus) *plus = 0, fault->after = 1;
    if (!strncmp(part[1], "slow", 4)) fault->delay = atoi(part[1] + 4);
    fault->shorter = !strcmp(part[1], "short");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!strcmp(part[1], errors[i].name)) fault->error = errors[i].number;
    if (!fault->delay && !fault->shorter && !fault->error) die("no such error");
    fault->first = atol(part[3]);
    if (strstr(part[4], "ms")) fault->millis = atol(part[4]);
    else if (strcmp(part[4], "ever")) fault->count = atol(part[4]);
    fault_count++;
}

__attribute__((constructor)) static void begin(void) {
    const char *root = getenv("RDP_DISK_ROOT"), *schedule = getenv("RDP_DISK_FAULTS");
    char given[4096], above[PATH_MAX], *rest = given, *word;
    if (!root || !schedule || strlen(schedule) >= sizeof given) die("no folder, or no schedule");
    log_path = getenv("RDP_DISK_LOG");
    snprintf(roots[0], PATH_MAX, "%s", root);
    snprintf(above, PATH_MAX, "%s", root);
    char *name = strrchr(above, '/');
    if (!name) die("the folder is no whole path");
    *name++ = 0;
    char *resolved = realpath(*above ? above : "/", NULL);
    if (resolved && snprintf(roots[1], PATH_MAX, "%s/%s", resolved, name) >= PATH_MAX) die("too long a path");
    free(resolved);
    strcpy(given, schedule);
    while ((word = strsep(&rest, " ")))
        if (*word) parse(word);
    trap_names();
}
