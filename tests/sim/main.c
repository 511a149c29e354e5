/*
 * main.c - the simulated world's command line.
 *
 *   sim                      200 seeds from 1
 *   sim --seeds N            N seeds
 *   sim --seed N             one seed (with --seeds: from it)
 *   sim --steps N            cuts the workload, to shrink a failure
 *   sim --verbose            prints the whole trace
 *   sim --summary            says what the worlds met
 *   sim --planted            shows that each planted fault is found
 *
 * A failing seed prints the end of its trace; the same seed fails the same way
 * again.  The last line is "N passed, N failed"; the exit code says the same.
 */
#include "tests/sim/workload.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEEDS_DEFAULT	200
#define SEEDS_FOR_PLANT 200

struct options {
	uint64_t seed, seeds;
	uint32_t steps;
	bool verbose, planted, summary;
};

static struct sim_tally total;

static uint64_t current_seed;

/* must() in the core ends the process: say in which seed. */
static void on_abort(int signal_number)
{
	char text[400];
	int n = snprintf(text, sizeof(text), "seed %llu: aborted: %s\n",
			 (unsigned long long)current_seed, must_failed_text);
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(3);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void add_tally(const struct sim_tally *tally)
{
#define TALLY(name, text) total.name += tally->name;
#include "tests/sim/tally.def"
#undef TALLY
}

static void print_tally(void)
{
#define TALLY(name, text) printf("%10llu  %s\n", (unsigned long long)total.name, text);
#include "tests/sim/tally.def"
#undef TALLY
}

static bool run_seed(const struct options *options, uint64_t seed)
{
	struct workload_options workload = {
	    .seed = seed, .steps = options->steps, .verbose = options->verbose};
	current_seed = seed;
	struct workload_result result = workload_run(&workload);
	add_tally(&result.tally);
	if (result.failed)
		printf("seed %llu FAILED: %s: %s\n", (unsigned long long)seed, result.check,
		       result.fault);
	else if (options->seeds == 1)
		printf("seed %llu: %u messages, %llu deliveries, %llu s\n",
		       (unsigned long long)seed, result.messages,
		       (unsigned long long)result.delivered,
		       (unsigned long long)result.virtual_ms / 1000);
	return !result.failed;
}

static int run_seeds(const struct options *options)
{
	uint64_t passed = 0, failed = 0;
	for (uint64_t i = 0; i < options->seeds; i++) {
		if (run_seed(options, options->seed + i))
			passed++;
		else
			failed++;
	}
	if (options->summary)
		print_tally();
	printf("%llu passed, %llu failed\n", (unsigned long long)passed,
	       (unsigned long long)failed);
	return failed == 0 ? 0 : 1;
}

/* Is `check` one of the words? */
static bool expected(const char *words, const char *check)
{
	size_t len = strlen(check);
	for (const char *at = words; (at = strstr(at, check)) != NULL; at += len)
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static bool find_plant(const struct options *options, enum plant plant)
{
	for (uint64_t i = 0; i < SEEDS_FOR_PLANT; i++) {
		struct workload_options workload = {.seed = options->seed + i, .plant = plant};
		current_seed = workload.seed;
		struct workload_result result = workload_run(&workload);
		if (!result.failed || !expected(plant_check(plant), result.check))
			continue;
		printf("found by '%s' in seed %llu: %s\n", result.check,
		       (unsigned long long)workload.seed, plant_what(plant));
		return true;
	}
	printf("NOT FOUND: %s\n", plant_what(plant));
	return false;
}

static int run_planted(const struct options *options)
{
	unsigned passed = 0, failed = 0;
	for (int plant = PLANT_NONE + 1; plant < PLANTS; plant++) {
		if (find_plant(options, (enum plant)plant))
			passed++;
		else
			failed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}

static int usage(void)
{
	fputs("usage: sim [--seed N] [--seeds COUNT] [--steps N] [--verbose] [--summary] "
	      "[--planted]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option flags[] = {
	    {"seed", required_argument, NULL, 's'},
	    {"seeds", required_argument, NULL, 'n'},
	    {"steps", required_argument, NULL, 't'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"planted", no_argument, NULL, 'p'},
	    {"summary", no_argument, NULL, 'y'},
	    {NULL, 0, NULL, 0},
	};
	struct options options = {.seed = 1};
	bool one = false;
	for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
		if (flag == 's') {
			options.seed = strtoull(optarg, NULL, 10);
			one = true;
		} else if (flag == 'n') {
			options.seeds = strtoull(optarg, NULL, 10);
		} else if (flag == 't') {
			options.steps = (uint32_t)strtoul(optarg, NULL, 10);
		} else if (flag == 'v') {
			options.verbose = true;
		} else if (flag == 'p') {
			options.planted = true;
		} else if (flag == 'y') {
			options.summary = true;
		} else {
			return usage();
		}
	}
	if (options.seeds == 0)
		options.seeds = one ? 1 : SEEDS_DEFAULT;
	signal(SIGABRT, on_abort);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return options.planted ? run_planted(&options) : run_seeds(&options);
}
