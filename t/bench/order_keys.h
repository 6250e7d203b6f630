/*
 * order_keys.h -- the keys of t/bench/order.pl, and clocks: for order_peer.c and order_inside.c.
 *
 * /data/dir00007/sub42/file000123.dat: directories of 64 sub-directories of 1,000 keys, values of 64 bytes.
 */
#ifndef ORDER_KEYS_H
#define ORDER_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SUBS 64					/* sub-directories of a directory */
#define FILES 1000				/* keys of a sub-directory */
#define RANGE_KEYS 100
#define VALUE_BYTES 64

static uint64_t keys;
static uint64_t random_state;

static inline double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* cpu_seconds -- of this process alone: others on the machine do not make it longer. */
static inline double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static inline uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* key number n in byte order */
static inline size_t
make_key(char *key, uint64_t n)
{
	return (size_t) sprintf(key, "/data/dir%05llu/sub%02llu/file%06llu.dat", (unsigned long long) (n / (SUBS * FILES)),
							(unsigned long long) (n / FILES % SUBS), (unsigned long long) (n % FILES));
}

static inline size_t
make_directory(char *prefix)
{
	return (size_t) sprintf(prefix, "/data/dir%05llu/", (unsigned long long) (next_random() % (keys / (SUBS * FILES))));
}

/* the i-th key to write: a permutation, the multiplier being prime and larger than any number of keys */
static inline uint64_t
nth(uint64_t i, bool sorted)
{
	return sorted ? i : (uint64_t) ((unsigned __int128) i * 1000000007 % keys);
}

#endif
