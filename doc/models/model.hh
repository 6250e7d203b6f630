/*
 * model.hh -- what the relacy models share: twins chosen at run time, and a main function.
 *
 * A relacy translation unit takes seconds to compile, a run often less than one.  So a model is
 * compiled once and its twins are flags: MODEL_TWIN(BROKEN_x) declares one, and the program
 * takes the names of those to switch on as arguments.  -v prints the execution that failed.
 * Variants are flags, too.
 *
 * Output: one line "RESULT <relacy's result> after <n> executions".  Exit status: 0 for
 * success, 1 for a failed model, 2 for wrong usage.
 */
#ifndef MODEL_HH
#define MODEL_HH

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include <relacy/relacy.hpp>			/* last: it defines "new", "delete" and "$" as macros */

struct ModelTwin
{
	const char *name;
	bool		on;
	ModelTwin  *next;

	static ModelTwin *&
	head()
	{
		static ModelTwin *first;

		return first;
	}

	explicit ModelTwin(const char *n) : name(n), on(false), next(head())
	{
		head() = this;
	}

	operator bool() const
	{
		return on;
	}
};

#define MODEL_TWIN(name) static ModelTwin name(#name)

/*
 * ModelEpochs -- epochs for models whose subject they are not (m3_epoch is about them).
 *
 * A word per process, with the orders and fences of epoch_enter, epoch_leave and
 * epoch_try_advance.  A grace period has passed when every process has been seen outside
 * since it began; the real one is never shorter.  Who waits for it looks some times and then
 * gives up: the execution ends without what would have come after.
 */
#define MODEL_LOOKS 40

template<unsigned N>
struct ModelEpochs
{
	rl::atomic<unsigned> word[N];

	void
	init()
	{
		unsigned	i;

		for (i = 0; i < N; i++)
			word[i]($).store(0, rl::mo_relaxed);
	}

	void
	enter(unsigned me)
	{
		word[me]($).store(1, rl::mo_release);
		rl::atomic_thread_fence(rl::mo_seq_cst, $);
	}

	void
	leave(unsigned me)
	{
		word[me]($).store(0, rl::mo_release);
	}

	bool
	grace()
	{
		unsigned	i,
					looks = 0;

		rl::atomic_thread_fence(rl::mo_seq_cst, $);
		for (i = 0; i < N; i++)
			while (word[i]($).load(rl::mo_acquire) != 0)
			{
				if (++looks > MODEL_LOOKS)
					return false;
				rl::yield(1, $);
			}
		return true;
	}
};

/*
 * model_run -- run one suite with one scheduler.
 *
 * rl::simulate() would instantiate all three schedulers; this takes one, which halves the time
 * to compile.  A failed execution is run a second time, to collect its history.
 */
template<typename Suite, typename Scheduler>
static bool
model_run(rl::test_params &params, bool verbose)
{
	std::ostream null(0);
	rl::ostringstream state;
	rl::test_result_e result;

	params.progress_stream = &null;
	if (!verbose)
		params.output_stream = &null;
	params.test_name = "model";
	result = rl::run_test<Suite, Scheduler>(params, state, false);
	if (result != rl::test_result_success && verbose)
	{
		rl::ostringstream again;

		params.initial_state = state.str();
		params.collect_history = true;
		rl::run_test<Suite, Scheduler>(params, again, true);
	}
	printf("RESULT %s after %lu executions\n", rl::test_result_str(result),
		   (unsigned long) params.stop_iteration);
	return result == rl::test_result_success;
}

/* Every interleaving with at most 'switches' switches away from a thread that could go on. */
template<typename Suite>
static bool
model_bound(unsigned switches, bool verbose)
{
	rl::test_params params;

	params.search_type = rl::sched_bound;
	params.context_bound = switches;
	params.execution_depth_limit = 4000;
	return model_run<Suite, rl::context_bound_scheduler<Suite::params::thread_count> >(params, verbose);
}

/*
 * Random interleavings, a fixed number of them (times MODEL_EFFORT, from the environment).  Loads
 * may be staler than in the other searches, which go back by one store only.
 */
template<typename Suite>
static bool
model_random(unsigned long executions, bool verbose)
{
	rl::test_params params;
	const char *effort = getenv("MODEL_EFFORT");

	if (effort != 0 && atol(effort) > 0)
		executions *= atol(effort);

	params.search_type = rl::sched_random;
	params.iteration_count = executions;
	params.execution_depth_limit = 4000;
	return model_run<Suite, rl::random_scheduler<Suite::params::thread_count> >(params, verbose);
}

/* Every interleaving. */
template<typename Suite>
static bool
model_full(bool verbose)
{
	rl::test_params params;

	params.search_type = rl::sched_full;
	params.execution_depth_limit = 4000;
	return model_run<Suite, rl::full_search_scheduler<Suite::params::thread_count> >(params, verbose);
}

/* Read the arguments: -v, names of twins.  Ends the program on a name that is not declared. */
static bool
model_args(int argc, char **argv)
{
	bool		verbose = false;
	int			i;

	for (i = 1; i < argc; i++)
	{
		ModelTwin  *t;

		if (strcmp(argv[i], "-v") == 0)
		{
			verbose = true;
			continue;
		}
		for (t = ModelTwin::head(); t != 0; t = t->next)
			if (strcmp(t->name, argv[i]) == 0)
				break;
		if (t == 0)
		{
			fprintf(stderr, "no twin \"%s\" in this model\n", argv[i]);
			exit(2);
		}
		t->on = true;
	}
	return verbose;
}

#endif							/* MODEL_HH */
