/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random operations on memory that a device uses, from a seed. */
#ifndef STRESS_H
#define STRESS_H

#include <stdint.h>

#define STRESS_OPS	400

/*
 * Run `ops` operations of a seed, all or those whose numbers are in a list
 * ("0,3,17"; NULL: all), and make the points of a path. What an operation does
 * depends on the seed and its own number alone, so that others can be left out.
 */
void stress(uint64_t seed, unsigned int ops, const char *only);

#endif
