/* Preloaded into every process of a test: appends the names that are resolved and the internet
   addresses that are connected or sent to, one a line, to the file named by NETWORK_LOG. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void append(const char *call, const char *text)
{
    char line[512];
    const char *path = getenv("NETWORK_LOG");
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0) return;
    int length = snprintf(line, sizeof line, "%s %s\n", call, text);
    if (write(file, line, length) != length) abort();
    close(file);
}

static void append_address(const char *call, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address == NULL) return;
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, sizeof text);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, sizeof text);
    if (text[0]) append(call, text);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (name) append("resolve", name);
    return real(name, service, hints, found);
}

struct hostent *gethostbyname(const char *name)
{
    struct hostent *(*real)(const char *) = dlsym(RTLD_NEXT, "gethostbyname");
    append("resolve", name);
    return real(name);
}

int connect(int socket, const struct sockaddr *address, socklen_t length)
{
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    int kind = SOCK_STREAM;
    socklen_t size = sizeof kind;
    getsockopt(socket, SOL_SOCKET, SO_TYPE, &kind, &size);
    append_address(kind == SOCK_DGRAM ? "route" : "connect", address);
    return real(socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t length, int flags,
               const struct sockaddr *address, socklen_t size)
{
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
        dlsym(RTLD_NEXT, "sendto");
    append_address("send", address);
    return real(socket, data, length, flags, address, size);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    append_address("send", message->msg_name);
    return real(socket, message, flags);
}
