/* own_request.c - see own_request.h. */
#include "broker/core/own_request.h"
#include "broker/core/memory.h"

struct own_request *own_request_create(enum own_action action, struct slice payload,
				       struct slice correlation)
{
	struct own_request *request =
	    memory_get_zeroed(sizeof *request + payload.len + correlation.len);
	request->action = action;
	request->payload_len = payload.len;
	request->correlation_len = correlation.len;
	if (payload.len > 0)
		memcpy(request->bytes, payload.at, payload.len);
	if (correlation.len > 0)
		memcpy(request->bytes + payload.len, correlation.at, correlation.len);
	return request;
}

void own_request_answer(struct own_request *request, struct slice answer)
{
	must(request->answer == NULL);
	request->answer = memory_get(answer.len);
	request->answer_len = answer.len;
	memcpy(request->answer, answer.at, answer.len);
}

void own_request_destroy(struct own_request *request)
{
	if (request == NULL)
		return;
	memory_wipe_free(request->answer, request->answer_len);
	memory_wipe_free(request,
			 sizeof *request + request->payload_len + request->correlation_len);
}
