/* mail.c - see mail.h. */
#include "broker/core/mail.h"
#include "broker/core/memory.h"
#include "broker/core/message.h"

struct mail *mail_create(enum mail_type type, party_id from, party_id to, struct slice text)
{
	struct mail *mail = memory_get_zeroed(sizeof *mail + text.len);
	mail->type = type;
	mail->from = from;
	mail->to = to;
	if (text.len != 0) {
		uint8_t *copy = (uint8_t *)(mail + 1);
		memcpy(copy, text.at, text.len);
		mail->text = slice_of(copy, text.len);
	}
	return mail;
}

void mail_destroy(struct mail *mail, struct purse *purse)
{
	if (mail->message)
		message_release(mail->message, purse);
	for (uint32_t i = 0; mail->messages && i < mail->count; i++)
		message_release(mail->messages[i], purse);
	purse_payload_free(purse, mail->bundle, mail->bundle_len);
	purse_give(purse, mail->bundle_room);
	memory_free(mail->messages);
	memory_free(mail);
}

size_t mail_weight(const struct mail *mail)
{
	size_t weight = sizeof *mail + mail->text.len + mail->bundle_len;
	if (mail->message)
		weight += message_size(mail->message);
	for (uint32_t i = 0; mail->messages && i < mail->count; i++)
		weight += message_size(mail->messages[i]);
	return weight;
}
