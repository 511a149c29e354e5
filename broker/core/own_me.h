/*
 * own_me.h - the topics $metrino/me/...: requests of the person behind an account, and their
 * answers (own_request.h).  For own_topic.c, which has the table of topics.
 *
 * Thread: the shard's.
 */
#ifndef BROKER_CORE_OWN_ME_H
#define BROKER_CORE_OWN_ME_H

#include "broker/core/own_request.h"
#include "proto/reason.h"

struct client;
struct event;
struct publication;
struct session;
struct shard;

#define OWN_ANSWER_TOPIC "$metrino/me/answer"

enum mqtt_reason own_me_may_subscribe(struct shard *shard, const struct client *client,
				      const struct session *session);
void own_me_subscribed(struct shard *shard, struct session *session);

/* A PUBLISH to one of them; a refusal is told in words, too, to whoever has subscribed. */
enum mqtt_reason own_me_requested(struct shard *shard, struct session *session,
				  const struct publication *publication, struct slice correlation,
				  enum own_action action);

/* EVENT_ANSWER; takes the request. */
void on_answer(struct shard *shard, const struct event *event);

#endif
