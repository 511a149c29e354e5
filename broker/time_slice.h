/* time_slice.h - a thread that others wait for asks for the processor in small pieces. */
#ifndef BROKER_TIME_SLICE_H
#define BROKER_TIME_SLICE_H

/*
 * From now on the calling thread runs soon after it wakes up, also where other work keeps all
 * processors busy: its time slice is half a millisecond.  Its share of the processor stays as it
 * is.  Linux has that since 6.12 (EEVDF, sched(7)); where it is not to be had nothing changes.
 */
void time_slice_shorten(void);

#endif
