/* durability.h - what a commit outlives: the values of the configuration key `durability`. */
#ifndef STORAGE_DURABILITY_H
#define STORAGE_DURABILITY_H

enum store_durability {
	DURABILITY_POWER,   /* a loss of power: every commit is synced */
	DURABILITY_PROCESS, /* the end of the process, by kill -9 too; boot_mark.h */
};

#endif
