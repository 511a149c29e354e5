/*
 * secret_memory.h - pages for keys: locked as far as the limit allows, in no core dump, empty in
 * a child, wiped when they are given back.  Whole pages: for few and long things.
 * Thread: any.
 */
#ifndef STORAGE_SECRET_MEMORY_H
#define STORAGE_SECRET_MEMORY_H

#include <stddef.h>

void *secret_memory_get(size_t len); /* all zero; memory that is not there is our end (must) */
void secret_memory_give(void *at, size_t len); /* NULL is fine */

#endif
