/*
 * bench_load.c -- fills a server with keys, or reads them all back, as fast as one pipelined connection can.
 *
 * For t/bench/run.pl; speaks RESP2 over a UNIX socket, so it loads artery and
 * redis-server alike.  Key number i of a shape and a seed is always the same
 * key with the same value, keys of different numbers differ, and the order in
 * which they come is a permutation that needs no memory: so a later run with
 * --op get can compare every value, and five million keys cost nothing here.
 *
 *   shape bench  key:000000000042, the keys that redis-benchmark -r asks for
 *   shape path   /usr/share/doc/libtoolk3/examples/readme_07.html, about 40 bytes:
 *                directories that hold packages that hold folders of 16 files
 *
 * Writes one line of JSON to stdout.  Exit code 0: all replies were right;
 * 1: some were not (counted in the JSON); 2: it could not run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KEY_MAX 256			/* bytes of a key with its NUL */
#define VALUE_MAX 65536		/* bytes of a value */
#define OUT_CHUNK 65536		/* bytes of requests that are made at a time */
#define IN_SIZE (4 * 65536 + VALUE_MAX)
#define ERROR_TEXT_MAX 128
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Plan
{
	const char *socket_path;
	uint64_t	keys;
	uint64_t	count;			/* of them to write or read: the first ones of the order; 0: all */
	uint64_t	seed;
	uint32_t	value_size;
	uint32_t	window;			/* requests on the way at most */
	uint32_t	feistel_bits;	/* half the bits of the permuted domain */
	bool		path_shape;
	bool		read_back;
	bool		in_order;
	bool		print_only;
} Plan;

typedef struct Load
{
	const Plan *plan;
	int			fd;
	uint64_t	made;			/* requests put into out */
	uint64_t	answered;
	uint64_t	errors;			/* replies that were errors, or not what the request must get */
	uint64_t	misses;			/* read back: keys that are not there */
	uint64_t	differ;			/* read back: values that are not the ones written */
	uint64_t	key_bytes;
	char		error_text[ERROR_TEXT_MAX];	/* the first error reply */
	size_t		out_used;
	size_t		out_sent;
	size_t		in_used;
	char		out[OUT_CHUNK + KEY_MAX + VALUE_MAX + 128];
	char		in[IN_SIZE];
} Load;

static void
die(const char *what)
{
	fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* mix -- splitmix64's finalizer: every bit of the result depends on every bit of x. */
static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/*
 * order -- the number of the key that comes n-th: a Feistel network over 4^bits
 * >= keys numbers is a permutation of them; walking on while outside 0..keys-1
 * keeps it one of those (fewer than four steps on average).
 */
static uint64_t
order(const Plan *plan, uint64_t n)
{
	uint32_t	bits = plan->feistel_bits;
	uint64_t	mask = (UINT64_C(1) << bits) - 1;

	if (plan->in_order)
		return n;
	do
	{
		uint64_t	left = n >> bits;
		uint64_t	right = n & mask;

		for (int round = 0; round < 4; round++)
		{
			uint64_t	next = left ^ (mix(right ^ (plan->seed << 3) ^ (uint64_t) round << 60) & mask);

			left = right;
			right = next;
		}
		n = left << bits | right;
	} while (n >= plan->keys);
	return n;
}

/* base36 -- appends n in digits and small letters, most significant first; returns the new end. */
static char *
base36(char *end, uint64_t n)
{
	char		digits[16];
	int			count = 0;

	do
	{
		digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
		n /= 36;
	} while (n > 0);
	while (count > 0)
		*end++ = digits[--count];
	return end;
}

/* make_path -- key i as a path: 16 files in a folder, four folders in a package. */
static size_t
make_path(const Plan *plan, uint64_t i, char *key)
{
	static const char *const tops[] = {"/usr/share/doc/", "/usr/lib/", "/usr/share/", "/var/lib/", "/usr/include/",
		"/opt/", "/home/anna/src/", "/srv/www/"};
	static const char *const names[] = {"lib", "python3-", "node-", "perl-", "golang-", "x", "gnome-", "texlive-"};
	static const char *const stems[] = {"tool", "net", "graph", "mail", "disk", "font", "audio", "crypt", "parse",
		"index", "store", "cache", "image", "table", "shell", "locale"};
	static const char *const folders[] = {"/examples/", "/include/", "/locale/de/", "/share/", "/modules/", "/data/",
		"/tests/", "/images/"};
	static const char *const files[] = {"readme", "index", "main", "config", "changelog", "util", "core", "test",
		"types", "theme", "list", "module", "schema", "common", "error", "view"};
	static const char *const ends[] = {".html", ".so", ".py", ".h", ".png", ".js", ".gz", ".txt"};
	uint64_t	folder = i >> 4;
	uint64_t	package = folder >> 2;
	uint64_t	p = mix(plan->seed ^ package ^ (UINT64_C(1) << 62));
	uint64_t	f = mix(plan->seed ^ i ^ (UINT64_C(1) << 61));
	char	   *end = key;

	end = stpcpy(end, tops[p % COUNT_OF(tops)]);
	end = stpcpy(end, names[(p >> 8) % COUNT_OF(names)]);
	end = stpcpy(end, stems[(p >> 16) % COUNT_OF(stems)]);
	end = base36(end, package);
	/* Four neighbours in the list of folders are different names. */
	end = (folder & 3) == 3 ? stpcpy(end, "/") : stpcpy(end, folders[((p >> 24) + (folder & 3)) % COUNT_OF(folders)]);
	end = stpcpy(end, files[f % COUNT_OF(files)]);
	*end++ = '_';
	end = base36(end, i & 15);
	end = stpcpy(end, ends[(f >> 8) % COUNT_OF(ends)]);
	return (size_t) (end - key);
}

static size_t
make_key(const Plan *plan, uint64_t i, char *key)
{
	if (plan->path_shape)
		return make_path(plan, i, key);
	return (size_t) snprintf(key, KEY_MAX, "key:%012llu", (unsigned long long) i);
}

/* make_value -- value_size printable bytes that belong to key number i alone. */
static void
make_value(const Plan *plan, uint64_t i, char *value)
{
	uint64_t	word = mix(i ^ plan->seed);

	for (uint32_t at = 0; at < plan->value_size; at++)
	{
		if (at % 10 == 0)
			word = mix(word + at);
		value[at] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._"[word >> (at % 10 * 6) & 63];
	}
}

/* make_requests -- puts requests into the (empty) out buffer, as many as window and buffer allow. */
static void
make_requests(Load *load)
{
	const Plan *plan = load->plan;
	uint64_t	end = load->answered + plan->window;

	load->out_used = load->out_sent = 0;
	if (end > plan->count)
		end = plan->count;
	while (load->made < end && load->out_used < OUT_CHUNK)
	{
		char		key[KEY_MAX];
		uint64_t	i = order(plan, load->made);
		size_t		key_size = make_key(plan, i, key);
		char	   *out = load->out + load->out_used;

		out += sprintf(out, "*%d\r\n$3\r\n%s\r\n$%zu\r\n", plan->read_back ? 2 : 3, plan->read_back ? "GET" : "SET",
					   key_size);
		out = mempcpy(out, key, key_size);
		if (!plan->read_back)
		{
			out += sprintf(out, "\r\n$%u\r\n", plan->value_size);
			make_value(plan, i, out);
			out += plan->value_size;
		}
		out = mempcpy(out, "\r\n", 2);
		load->out_used = (size_t) (out - load->out);
		load->key_bytes += key_size;
		load->made++;
	}
}

/* note_error -- counts a reply that is an error or of a wrong form; keeps the first one's text. */
static void
note_error(Load *load, const char *text, size_t size)
{
	if (load->errors++ > 0)
		return;
	if (size > ERROR_TEXT_MAX - 1)
		size = ERROR_TEXT_MAX - 1;
	for (size_t at = 0; at < size; at++)	/* it goes into JSON */
		load->error_text[at] = text[at] < ' ' || text[at] == '"' || text[at] == '\\' ? ' ' : text[at];
	load->error_text[size] = '\0';
}

static void
check_value(Load *load, const char *value, size_t size)
{
	static char expected[VALUE_MAX];
	const Plan *plan = load->plan;

	make_value(plan, order(plan, load->answered), expected);
	if (size != plan->value_size || memcmp(value, expected, size) != 0)
		load->differ++;
}

/* take_replies -- consumes the whole replies in the in buffer. */
static void
take_replies(Load *load)
{
	size_t		at = 0;

	while (at < load->in_used)
	{
		const char *start = load->in + at;
		size_t		rest = load->in_used - at;
		const char *newline = memchr(start, '\n', rest);
		size_t		size;

		if (newline == NULL)
			break;
		size = (size_t) (newline + 1 - start);
		if (*start == '$' && load->plan->read_back)
		{
			long		length = strtol(start + 1, NULL, 10);

			if (length < 0)
				load->misses++;
			else if ((size_t) length > VALUE_MAX)
			{
				fprintf(stderr, "bench_load: a reply of %ld bytes\n", length);
				exit(2);
			}
			else
			{
				if (rest < size + (size_t) length + 2)
					break;
				check_value(load, start + size, (size_t) length);
				size += (size_t) length + 2;
			}
		}
		else if (*start != '+' || load->plan->read_back)
			note_error(load, start, size);
		load->answered++;
		at += size;
	}
	memmove(load->in, load->in + at, load->in_used - at);
	load->in_used -= at;
}

/* run -- the loop: both directions at once, so that neither side waits for the other for ever. */
static void
run(Load *load)
{
	const Plan *plan = load->plan;

	while (load->answered < plan->count)
	{
		struct pollfd poll_fd = {.fd = load->fd, .events = POLLIN};
		ssize_t		done;

		if (load->out_sent == load->out_used)
			make_requests(load);
		if (load->out_sent < load->out_used)
			poll_fd.events |= POLLOUT;
		if (poll(&poll_fd, 1, 60000) <= 0)
		{
			fprintf(stderr, "bench_load: no answer for a minute, %llu of %llu replies came\n",
					(unsigned long long) load->answered, (unsigned long long) plan->count);
			exit(2);
		}
		if (poll_fd.revents & POLLOUT)
		{
			done = send(load->fd, load->out + load->out_sent, load->out_used - load->out_sent,
						MSG_DONTWAIT | MSG_NOSIGNAL);
			if (done < 0 && errno != EAGAIN && errno != EINTR)
				die("send");
			if (done > 0)
				load->out_sent += (size_t) done;
		}
		if (poll_fd.revents & (POLLIN | POLLHUP | POLLERR))
		{
			done = recv(load->fd, load->in + load->in_used, IN_SIZE - load->in_used, MSG_DONTWAIT);
			if (done == 0)
			{
				fprintf(stderr, "bench_load: the server closed the connection\n");
				exit(2);
			}
			if (done < 0 && errno != EAGAIN && errno != EINTR)
				die("recv");
			if (done > 0)
			{
				load->in_used += (size_t) done;
				take_replies(load);
			}
		}
	}
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (strlen(path) >= sizeof(address.sun_path))
	{
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		die(path);
	return fd;
}

static void
usage(int code)
{
	fprintf(code ? stderr : stdout,
			"usage: bench_load --socket PATH [options]\n"
			"  --op set|get         write the keys, or read and compare them (default set)\n"
			"  --keys N             how many (default 1000000)\n"
			"  --count N            only the first N of them, spread evenly by the order (default all)\n"
			"  --shape bench|path   what the keys look like (default bench)\n"
			"  --value BYTES        size of a value, 1 to 65536 (default 64)\n"
			"  --seed N             another set of keys and another order (default 1)\n"
			"  --window N           requests on the way at most (default 1024)\n"
			"  --in-order           key 0, 1, 2, ... instead of a random order\n"
			"  --print              print the keys, one a line, and talk to no server\n");
	exit(code);
}

static uint64_t
number(const char *text, uint64_t min, uint64_t max)
{
	char	   *end;
	uint64_t	value = strtoull(text, &end, 10);

	if (*text == '\0' || *text == '-' || *end != '\0' || value < min || value > max)
	{
		fprintf(stderr, "bench_load: \"%s\" is not a number from %llu to %llu\n", text, (unsigned long long) min,
				(unsigned long long) max);
		exit(2);
	}
	return value;
}

static bool
word(const char *text, const char *no, const char *yes)
{
	if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
		usage(2);
	return strcmp(text, yes) == 0;
}

static void
read_options(int argc, char **argv, Plan *plan)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"op", required_argument, NULL, 'o'},
		{"keys", required_argument, NULL, 'k'}, {"count", required_argument, NULL, 'c'}, {"shape", required_argument, NULL, 'f'},
		{"value", required_argument, NULL, 'v'}, {"seed", required_argument, NULL, 'e'},
		{"window", required_argument, NULL, 'w'}, {"in-order", no_argument, NULL, 'i'},
		{"print", no_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (option)
		{
			case 's': plan->socket_path = optarg; break;
			case 'o': plan->read_back = word(optarg, "set", "get"); break;
			case 'c': plan->count = number(optarg, 1, UINT64_C(1) << 40); break;
			case 'k': plan->keys = number(optarg, 1, UINT64_C(1) << 40); break;
			case 'f': plan->path_shape = word(optarg, "bench", "path"); break;
			case 'v': plan->value_size = (uint32_t) number(optarg, 1, VALUE_MAX); break;
			case 'e': plan->seed = number(optarg, 0, UINT64_MAX); break;
			case 'w': plan->window = (uint32_t) number(optarg, 1, 1000000); break;
			case 'i': plan->in_order = true; break;
			case 'p': plan->print_only = true; break;
			case 'h': usage(0); break;
			default: usage(2);
		}
	}
	if (optind != argc || (plan->socket_path == NULL && !plan->print_only))
		usage(2);
	if (plan->count == 0 || plan->count > plan->keys)
		plan->count = plan->keys;
	while ((UINT64_C(1) << 2 * plan->feistel_bits) < plan->keys)
		plan->feistel_bits++;
}

int
main(int argc, char **argv)
{
	static Load load;
	Plan		plan = {.keys = 1000000, .seed = 1, .value_size = 64, .window = 1024, .feistel_bits = 1};
	double		start;
	double		seconds;

	read_options(argc, argv, &plan);
	if (plan.print_only)
	{
		char		key[KEY_MAX];

		for (uint64_t n = 0; n < plan.count; n++)
			printf("%.*s\n", (int) make_key(&plan, order(&plan, n), key), key);
		return 0;
	}
	load.plan = &plan;
	load.fd = connect_to(plan.socket_path);
	start = now_seconds();
	run(&load);
	seconds = now_seconds() - start;
	printf("{\"keys\":%llu,\"key_bytes\":%llu,\"value_bytes\":%llu,\"seconds\":%.6f,\"rate\":%.1f,"
		   "\"errors\":%llu,\"misses\":%llu,\"differ\":%llu,\"first_error\":\"%s\"}\n",
		   (unsigned long long) plan.keys, (unsigned long long) load.key_bytes,
		   (unsigned long long) plan.keys * plan.value_size, seconds, (double) plan.keys / seconds,
		   (unsigned long long) load.errors, (unsigned long long) load.misses, (unsigned long long) load.differ,
		   load.error_text);
	return load.errors + load.misses + load.differ > 0;
}
