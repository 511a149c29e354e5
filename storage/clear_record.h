/*
 * clear_record.h - records of format version 1, in which earlier versions of Metrino kept sessions,
 * subscriptions and the journal, readable: only to be read, and sealed (vault_clear.c).
 *
 *	head     u8 format version (1) | u8 class (sealed_record.h) | u32 zero
 *	body
 *	trailer  u32 CRC-32C of head, row number (u64) and body
 * all big-endian.
 *
 * Ownership: the body borrows from the record.
 * Failure: what is wrong with the bytes, never what they hold.
 * Thread: any.
 */
#ifndef STORAGE_CLEAR_RECORD_H
#define STORAGE_CLEAR_RECORD_H

#include "proto/base.h"

#define CLEAR_HEAD_LEN	  6u
#define CLEAR_TRAILER_LEN 4u
#define CLEAR_VERSION	  1u

bool clear_record_open(struct slice record, uint8_t class, uint64_t row, struct slice *body,
		       struct failure *failure);

#endif
