/*
 * art_keys.h -- some four hundred keys below which nodes of every type grow, shrink,
 * split, join and collapse; a value from which its key can be told.
 */
#ifndef ARTERY_T_UNIT_ART_KEYS_H
#define ARTERY_T_UNIT_ART_KEYS_H

#include <setjmp.h>
#include <stdarg.h>

#include "art_common.h"

#include <cmocka.h>

#define KEYS_MAX 1000
#define KEY_BYTES 64

typedef struct Key
{
	uint8		byte[KEY_BYTES];
	uint32		len;
	bool		stable;			/* overwritten, never deleted */
} Key;

static Key	key[KEYS_MAX];		/* in order */
static uint32 key_count;

static inline void
add_key(const void *bytes, uint32 len)
{
	assert_true(key_count < KEYS_MAX && len <= KEY_BYTES);
	memcpy(key[key_count].byte, bytes, len);
	key[key_count].len = len;
	key[key_count].stable = key_count % 7 == 0;
	key_count++;
}

static inline int
compare_keys(const void *a, const void *b)
{
	const Key  *x = a;
	const Key  *y = b;
	int			order = memcmp(x->byte, y->byte, Min(x->len, y->len));

	return order != 0 ? order : (int) x->len - (int) y->len;
}

static inline void
make_keys(void)
{
	uint8		k[KEY_BYTES];

	key_count = 0;
	/* nodes about 4, 16, 48 and 256 children wide */
	for (uint32 width = 4; width <= 256; width = width == 4 ? 16 : width == 16 ? 48 : width + 208)
		for (uint32 i = 0; i < width; i++)
		{
			k[0] = 'w';
			k[1] = (uint8) width;
			k[2] = (uint8) (i * 37);
			add_key(k, 3);
		}
	/* each a prefix of the next */
	for (uint32 len = 0; len < 14; len++)
	{
		memset(k, 'p', len);
		add_key(k, len);
	}
	/* one long prefix, left at every byte: split and joined again */
	for (uint32 i = 1; i < 60; i++)
	{
		memset(k, 'L', 60);
		k[i] = 'x';
		add_key(k, i % 3 == 0 ? i + 1 : 60);
	}
	/* pairs, so that nodes of one child come and go */
	for (uint32 i = 0; i < 60; i++)
	{
		uint32		len = (uint32) sprintf((char *) k, "pair%02u/%s", i / 2, i % 2 ? "left" : "right");

		add_key(k, len);
	}
	qsort(key, key_count, sizeof(Key), compare_keys);
	for (uint32 i = 1; i < key_count; i++)
		assert_true(compare_keys(&key[i - 1], &key[i]) < 0);
}

/* value of a key: its bytes, several times; a torn or reused leaf does not look like that */
static inline uint32
make_value(const Key *k, uint8 *value, uint32 copies)
{
	for (uint32 i = 0; i < copies; i++)
		memcpy(value + i * k->len, k->byte, k->len);
	return copies * k->len;
}

static inline void
check_value(const Leaf *l, const Key *k)
{
	const uint8 *value = leaf_inline_value(l);

	Verify(leaf__is(l, k->byte, k->len));
	Verify(k->len == 0 || l->value_len % k->len == 0);
	for (uint32 at = 0; at < l->value_len; at += k->len)
		Verify(memcmp(value + at, k->byte, k->len) == 0);
}

/* key_number -- of a leaf's key. */
static inline uint32
key_number(const Leaf *l)
{
	uint32		low = 0;
	uint32		high = key_count;

	while (low < high)
	{
		uint32		middle = (low + high) / 2;
		int			order = memcmp(key[middle].byte, leaf_key(l), Min(key[middle].len, l->key_len));

		if (order < 0 || (order == 0 && key[middle].len < l->key_len))
			low = middle + 1;
		else
			high = middle;
	}
	Verify(low < key_count && leaf__is(l, key[low].byte, key[low].len));
	return low;
}

#endif
