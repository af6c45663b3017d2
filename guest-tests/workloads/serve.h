/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SERVE_H
#define SERVE_H

/*
 * Run the commands that standard input names, a line each, one after another, and print
 * on both streams where the output of each begins and ends: harness/vm/shell.py is the
 * other side. A command of this program's own, `self`, is `run` in a child that only
 * forks; all others go to a shell. Returns the exit status, when there is no more input.
 */
int serve(const char *mark, const char *self, int (*run)(int argc, char **argv));

#endif
