// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "area.h"
#include "ktap.h"
#include "proof.h"
#include "sites.h"
#include "trace.h"

#define NAME		"site_"
#define MOST_SITES	1024
#define MOST_VALUES	8192

/* Besides those that serve faults, the threads that change page tables by themselves. */
#define FILTER		"(" TRACE_FILTER " || comm == \"khugepaged\"" \
			" || comm ~ \"kswapd*\" || comm ~ \"kcompactd*\")"

static int hits[MOST_SITES];

/* Entries that were stored: whose they are is known when the page's frame is. */
static struct value {
	unsigned int site;
	uint64_t entry;
} *values;
static size_t nr_values;

/* The place is in a function that cannot be probed: look for it from the function that it calls. */
static bool set_callee(const char *name, char *callee)
{
	char where[128], filter[512], *address = strchr(callee, ';');

	if (!address)
		return false;
	*address++ = '\0';
	snprintf(where, sizeof(where), "%s address=%%x1 caller=%%x30", callee);
	snprintf(filter, sizeof(filter), FILTER " && caller == %s", address);
	return trace_set(name, where) && trace_enable(name, filter);
}

static bool set_site(char *argument)
{
	char name[32], *place, *callee;
	unsigned long number = strtoul(argument, &place, 10);

	if (place == argument || *place != ' ' || number >= MOST_SITES) {
		errno = EINVAL;
		return false;
	}
	snprintf(name, sizeof(name), NAME "%lu", number);
	callee = strchr(place, ';');
	if (callee)
		*callee++ = '\0';
	if (trace_set(name, place + 1))
		return trace_enable(name, FILTER);
	return callee && errno == EINVAL && set_callee(name, callee);
}

/* What cannot be probed is said, a line each, and is no failure. */
int sites_set(char **arguments, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (!set_site(arguments[i]))
			printf("not probed: %s: %s\n", arguments[i], strerror(errno));
	return KTAP_EXIT_OK;
}

static bool read_number(const char *event, const char *name, uint64_t *value)
{
	const char *found = strstr(event, name);

	if (found)
		*value = strtoull(found + strlen(name), NULL, 16);
	return found;
}

void sites_count(const char *event, uint64_t start, uint64_t end)
{
	unsigned long site;
	uint64_t value;

	if (strncmp(event, NAME, strlen(NAME)))
		return;
	site = strtoul(event + strlen(NAME), NULL, 10);
	if (site >= MOST_SITES)
		return;
	if (read_number(event, " value=0x", &value)) {
		if (!values)
			values = area_apart(MOST_VALUES * sizeof(*values));
		if (nr_values == MOST_VALUES)
			return;
		values[nr_values].site = site;
		values[nr_values++].entry = value;
	} else if (!read_number(event, " address=0x", &value) ||
		   (value >= start && value < end)) {
		hits[site]++;
	}
}

/* An entry that lets the page be written. */
static bool raises(uint64_t entry, uint64_t pfn_before, uint64_t pfn_after)
{
	struct sva_testdev_pte pte = { .desc = entry };
	uint64_t pfn = pte_pfn(&pte);

	return pte_writable(&pte) && pfn && (pfn == pfn_before || pfn == pfn_after);
}

void sites_tell(uint64_t pfn_before, uint64_t pfn_after)
{
	char key[32];
	size_t i;

	for (i = 0; i < nr_values; i++)
		if (raises(values[i].entry, pfn_before, pfn_after))
			hits[values[i].site]++;
	for (i = 0; i < MOST_SITES; i++) {
		if (!hits[i])
			continue;
		snprintf(key, sizeof(key), NAME "%zu", i);
		ktap_fact(key, "%d", hits[i]);
	}
}
