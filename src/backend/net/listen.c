/*
 * listen.c -- the sockets that clients connect to.
 *
 * The postmaster makes them before it forks and keeps them over crash restarts:
 * who connects meanwhile waits in the backlog.  Workers inherit them and accept;
 * every other child closes them.  At a stop the postmaster and each worker close
 * their own: once the last one has, connecting fails at once.
 *
 * A socket file that a dead server left behind is replaced; one on which somebody
 * answers is not.
 */
#include "common/c.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/net.h"
#include "net/net_internal.h"
#include "storage/ipc/segment.h"
#include "utils/elog.h"
#include "utils/settings.h"

#define BACKLOG 4096

Listener	net__listener[NET_LISTENERS_MAX];
int			net__listener_count;

static pid_t maker;				/* the process that made the socket file */
static char unix_path[sizeof(((struct sockaddr_un *) 0)->sun_path)];
static dev_t unix_device;
static ino_t unix_inode;

void
net_socket_path(const char *data_dir, char *path, size_t size)
{
	int			n;

	if (set_unix_socket_path[0] == '/')
		n = snprintf(path, size, "%s", set_unix_socket_path);
	else
		n = snprintf(path, size, "%s/%s", data_dir,
					 set_unix_socket_path[0] != '\0' ? set_unix_socket_path : "artery.sock");
	if ((size_t) n >= size || (size_t) n >= sizeof(unix_path))
		ereport_hint(FATAL, "Set unix_socket_path to a shorter path, for example under /run or /tmp.",
					 "the path of the UNIX socket would have %d bytes, at most %zu are possible", n, sizeof(unix_path) - 1);
}

static Listener *
add_listener(int fd, bool is_unix, const char *name)
{
	Listener   *l;

	if (net__listener_count == NET_LISTENERS_MAX)
		ereport(FATAL, "listen_addresses names too many addresses, at most %d are possible", NET_LISTENERS_MAX - 1);
	l = &net__listener[net__listener_count++];
	memset(l, 0, sizeof(*l));
	l->fd = fd;
	l->is_unix = is_unix;
	snprintf(l->name, sizeof(l->name), "%s", name);
	return l;
}

/* answers -- does somebody serve on this socket file? */
static bool
answers(const struct sockaddr_un *address)
{
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool		yes;

	if (fd < 0)
		return false;
	/* EAGAIN: a full backlog is somebody's backlog */
	yes = connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

/* make_way -- for the new socket file; FATAL if what is there may not go. */
static void
make_way(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) != 0)
		return;
	if (!S_ISSOCK(st.st_mode))
		ereport_hint(FATAL, "Move the file away, or choose another unix_socket_path.",
					 "\"%s\" is in the way of the UNIX socket and is not a socket", address->sun_path);
	if (answers(address))
		ereport_hint(FATAL, "Is another server running with the same unix_socket_path?",
					 "somebody is serving on the UNIX socket \"%s\"", address->sun_path);
	if (unlink(address->sun_path) != 0)
		ereport(FATAL, "could not remove the old socket \"%s\": %m", address->sun_path);
}

static void
listen_unix(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char	   *end;
	unsigned long mode = strtoul(set_unix_socket_permissions, &end, 8);
	mode_t		old_mask;
	struct stat st;
	int			fd;

	if (*end != '\0' || end == set_unix_socket_permissions || mode > 0777)
		ereport_hint(FATAL, "An octal mode such as 0700 or 0770 is expected.",
					 "unix_socket_permissions has the invalid value \"%s\"", set_unix_socket_permissions);
	net_socket_path(seg_control->data_dir, address.sun_path, sizeof(address.sun_path));
	make_way(&address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		ereport(FATAL, "could not create a UNIX socket: %m");
	old_mask = umask((mode_t) (~mode & 0777));	/* never, not for a moment, more open than asked for */
	if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) != 0)
		ereport_hint(FATAL, "The directory must exist and be writable for the server.",
					 "could not bind the UNIX socket \"%s\": %m", address.sun_path);
	(void) umask(old_mask);
	if (chmod(address.sun_path, (mode_t) mode) != 0)
		ereport(FATAL, "could not set the permissions of \"%s\": %m", address.sun_path);
	if (listen(fd, BACKLOG) != 0)
		ereport(FATAL, "could not listen on \"%s\": %m", address.sun_path);
	memcpy(unix_path, address.sun_path, sizeof(unix_path));
	if (lstat(unix_path, &st) == 0)
	{
		unix_device = st.st_dev;
		unix_inode = st.st_ino;
	}
	maker = getpid();
	add_listener(fd, true, unix_path);
	ereport(LOG, "listening on UNIX socket \"%s\"", unix_path);
}

/* listen_address -- one result of getaddrinfo; FATAL when it cannot be had. */
static void
listen_address(const struct addrinfo *info)
{
	int			fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int			one = 1;
	char		host[64];
	char		port[16];
	char		name[128];

	if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), port, sizeof(port),
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		ereport(FATAL, "could not name a TCP address");
	snprintf(name, sizeof(name), info->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	if (fd < 0 && errno == EAFNOSUPPORT)
	{
		ereport(LOG, "no socket for TCP address \"%s\": %m", name);
		return;
	}
	if (fd < 0)
		ereport(FATAL, "could not create a TCP socket for \"%s\": %m", name);
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (info->ai_family == AF_INET6)
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
		ereport_hint(FATAL, "Is another server using that port?", "could not listen on TCP address \"%s\": %m", name);
	add_listener(fd, false, name);
	ereport(LOG, "listening on TCP address \"%s\"", name);
}

static void
listen_tcp(const char *host)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *first;
	char		port[16];
	int			rc;

	snprintf(port, sizeof(port), "%lld", (long long) set_port);
	rc = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port, &hints, &first);
	if (rc != 0)
		ereport(FATAL, "listen_addresses: could not resolve \"%s\": %s", host, gai_strerror(rc));
	for (const struct addrinfo *info = first; info != NULL; info = info->ai_next)
		listen_address(info);
	freeaddrinfo(first);
}

void
net_listen_all(void)
{
	char		list[1024];
	char	   *rest = list;
	char	   *host;

	listen_unix();
	if (set_listen_addresses[0] == '\0')
		return;
	if (set_requirepass[0] == '\0')
		ereport_hint(FATAL, "Set requirepass, or leave listen_addresses empty.",
					 "listen_addresses is not empty, but there is no requirepass");
	if (strlen(set_listen_addresses) >= sizeof(list))
		ereport(FATAL, "listen_addresses is too long");
	memcpy(list, set_listen_addresses, strlen(set_listen_addresses) + 1);
	while ((host = strsep(&rest, ",")) != NULL)
	{
		host += strspn(host, " \t");
		host[strcspn(host, " \t")] = '\0';
		if (host[0] != '\0')
			listen_tcp(host);
	}
}

void
net_close_listeners(void)
{
	struct stat st;

	for (int i = 0; i < net__listener_count; i++)
		if (net__listener[i].fd >= 0)
		{
			close(net__listener[i].fd);
			net__listener[i].fd = -1;
		}
	net__handover_close();
	if (maker != getpid() || unix_inode == 0)
		return;
	/* ours still? */
	if (lstat(unix_path, &st) == 0 && st.st_dev == unix_device && st.st_ino == unix_inode)
		(void) unlink(unix_path);
	unix_inode = 0;
}
