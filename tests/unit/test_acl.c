/* test_acl.c - mosquitto's access lists: read, refused, asked. */
#include "auth/acl.h"
#include "tests/unit/packets.h"
#include <stdio.h>
#include <stdlib.h>

/* The file of mosquitto.conf(5)'s own words, and what is easily mistaken. */
static const char rules[] = "# comment\n"
			    "\n"
			    "topic read open/#\n"
			    "topic deny open/secret\n"
			    "topic $SYS/#\r\n"
			    "topic both ways\n" /* refused: see `refused` */
    ;

static const char list[] = "topic read open/#\n"
			   "topic open/box\n"
			   "topic read $SYS/#\n"
			   "user bob\n"
			   "topic read #\n"
			   "topic deny open/secret/#\n"
			   "topic write a topic with blanks\n"
			   "  topic\treadwrite   bob/+/x  \r\n"
			   "user eve of the house\n"
			   "topic write eve\n"
			   "user bob\n"
			   "topic write late\n"
			   "pattern readwrite home/%u/%c\n"
			   "pattern read %c-%u\n"
			   "pattern deny open/patterns/denied\n"
			   "pattern read open/patterns/#\n"
			   "pattern write by/%c/up\n"
			   "pattern readwrite %c/#\n"
			   "pattern readwrite %u/own\n"
			   "pattern read $own/%c\n"
			   "pattern read +/+/+/%c/+/#\n"
			   "pattern read twice/%c/+/%c\n";

static const struct {
	const char *user; /* NULL: no name */
	const char *client_id;
	enum auth_right right;
	const char *topic;
	bool allowed;
} questions[] = {
    {NULL, "c", AUTH_READ, "open", true},
    {NULL, "c", AUTH_READ, "open/door", true},
    {NULL, "c", AUTH_WRITE, "open/door", false},
    {NULL, "c", AUTH_WRITE, "open/box", true},
    {NULL, "c", AUTH_READ, "closed", false},
    {NULL, "c", AUTH_READ, "$SYS/broker/uptime", true},
    {NULL, "c", AUTH_WRITE, "$SYS/broker/uptime", false},
    {NULL, "c", AUTH_READ, "home//c", false}, /* %u is nobody's */
    {NULL, "c", AUTH_WRITE, "by/c/up", true},
    {NULL, "c", AUTH_WRITE, "by/d/up", false},
    {NULL, "+", AUTH_WRITE, "by/d/up", false},
    {NULL, "d/up/#", AUTH_WRITE, "by/d/up/x", false},
    {NULL, "#", AUTH_WRITE, "by/#/up", false},
    {NULL, "tree", AUTH_WRITE, "tree/of/its/own", true},
    {NULL, "tree/of", AUTH_WRITE, "tree/of/its/own", true}, /* as with mosquitto */
    {NULL, "$SYS", AUTH_READ, "$SYS/broker/load", true},    /* by the line for nobody alone */
    {NULL, "$SYS", AUTH_WRITE, "$SYS/broker/load", false},
    {"bob", "$SYS", AUTH_READ, "$SYS/broker/load", false},
    {"bob", "$SYS/broker", AUTH_READ, "$SYS/broker/load", false},
    {"$topic", "c", AUTH_READ, "$topic/own", false},
    {"bob", "c$", AUTH_WRITE, "c$/x", true},
    {"bob", "c", AUTH_READ, "$own/c", true},
    {"", "c", AUTH_READ, "open", false}, /* a name, though an empty one */
    {"nobody", "c", AUTH_READ, "open", false},
    {"nobody", "c", AUTH_READ, "home/nobody/c", true},
    {"nobody", "c", AUTH_WRITE, "home/nobody/c", true},
    {"nobody", "c", AUTH_WRITE, "home/nobody/d", false},
    {"nobody", "c", AUTH_READ, "c-nobody", true},
    {"+", "c", AUTH_READ, "home/other/c", false},
    {"#", "c", AUTH_READ, "home/other/c", false},
    {"bob", "c", AUTH_READ, "anything/at/all", true},
    {"bob", "c", AUTH_READ, "$SYS/broker/uptime", false}, /* a wildcard does not reach there */
    {"bob", "c", AUTH_READ, "open/secret", false},	  /* denied, though granted above */
    {"bob", "c", AUTH_READ, "open/secret/deep", false},
    {"bob", "c", AUTH_READ, "open/patterns/denied", true}, /* an own line wins over a pattern */
    {"eve of the house", "c", AUTH_READ, "open/patterns/denied", false},
    {"eve of the house", "c", AUTH_READ, "open/patterns/other", true},
    {"bob", "c", AUTH_WRITE, "a topic with blanks", true},
    {"bob", "c", AUTH_WRITE, "bob/1/x", true},
    {"bob", "c", AUTH_WRITE, "bob/1/y", false},
    {"bob", "c", AUTH_WRITE, "late", true},
    {"bob", "c", AUTH_WRITE, "eve", false},
    {"eve of the house", "c", AUTH_WRITE, "eve", true},
    {"eve of the house", "c", AUTH_READ, "eve", false},
    {"eve", "c", AUTH_WRITE, "eve", false},
    {"nobody", "d", AUTH_READ, "///d/", true}, /* longer when it is filled */
    {"nobody", "d", AUTH_READ, "///d", false},
    {"nobody", "d", AUTH_READ, "twice/d//d", true},
    {"nobody", "d", AUTH_READ, "twice/d/d", false},
};

START_TEST(answers)
{
	struct problems problems = {0};
	struct acl *acl = acl_parse(slice_text(list), "FILE", &problems);
	struct slice user = questions[_i].user ? slice_text(questions[_i].user) : SLICE_NONE;
	const struct slice *who = questions[_i].user ? &user : NULL;

	ck_assert_msg(acl != NULL, "%s", problems.text);
	ck_assert(acl_names_users(acl));
	ck_assert_msg(acl_allows(acl,
				 &(struct acl_question){
				     .own = acl_rules_of(acl, who),
				     .user = who,
				     .client_id = slice_text(questions[_i].client_id),
				     .right = questions[_i].right,
				     .topic = slice_text(questions[_i].topic),
				 }) == questions[_i].allowed,
		      "%s as %s", questions[_i].topic, questions[_i].user);
	acl_destroy(acl);
}
END_TEST

static const struct {
	const char *text, *said;
} refused[] = {
    {rules, "FILE:6: has an access that is not"},
    {"", "FILE: holds no rule"},
    {"\n# nothing\n \n", "FILE: holds no rule"},
    {"topic a", "FILE:1: has no end of line"},
    {"topic a\ntopic deny b", "FILE:2: has no end of line"},
    {"topic\n", "FILE:1: has no topic"},
    {"topic read\ntopic a#\n", "FILE:2: has a topic filter"},
    {"topic read a/#/b\n", "FILE:1: has a topic filter"},
    {"pattern a+/%c\n", "FILE:1: has a topic filter"},
    {"user\n", "FILE:1: names no user"},
    {"user  \n", "FILE:1: names no user"},
    {"secret\n", "FILE:1: begins with none of"},
    {"Topic a\n", "FILE:1: begins with none of"},
    {"topic Read a\n", "FILE:1: has an access"},
};

START_TEST(refuses_what_is_not_right)
{
	struct problems problems = {0};

	ck_assert_ptr_null(acl_parse(slice_text(refused[_i].text), "FILE", &problems));
	ck_assert_msg(strncmp(problems.text, refused[_i].said, strlen(refused[_i].said)) == 0, "%s",
		      problems.text);
	ck_assert_ptr_null(strstr(problems.text, "secret"));
	problems_free(&problems);
}
END_TEST

START_TEST(names_all_that_is_wrong)
{
	struct problems problems = {.about = "acl_file"};

	ck_assert_ptr_null(
	    acl_parse(SLICE_LITERAL("topic a#\nuser\ntopic b\nwhat\ntopic c"), "FILE", &problems));
	ck_assert_str_eq(problems.text,
			 "acl_file: FILE:1: has a topic filter that is not valid: + stands alone "
			 "in its level, # in the last one\n"
			 "acl_file: FILE:2: names no user; right would be user NAME\n"
			 "acl_file: FILE:4: begins with none of user, topic and pattern\n"
			 "acl_file: FILE:5: has no end of line: the file looks cut off; if it is "
			 "whole, add one\n");
	ck_assert_uint_eq(problems.count, 4);
	problems_free(&problems);
}
END_TEST

START_TEST(says_which_file_is_not_there)
{
	struct problems problems = {0};

	ck_assert_ptr_null(acl_load("/nowhere/acl", &problems));
	ck_assert_str_eq(problems.text, "/nowhere/acl: No such file or directory\n");
	problems_free(&problems);
}
END_TEST

static struct acl_question question_of(const struct acl *acl, const struct slice *user,
				       const char *topic)
{
	return (struct acl_question){.own = acl_rules_of(acl, user),
				     .user = user,
				     .right = AUTH_WRITE,
				     .topic = slice_text(topic)};
}

/* Twice each, in no order; what is denied comes first, wherever it stands.  Looking for each among
 * those above it would take a minute. */
START_TEST(as_many_users_as_there_are)
{
	const unsigned users = 100000;
	const size_t room = users * 80;
	struct problems problems = {0};
	char *text = malloc(room), name[16];
	size_t len = 0;

	must(text);
	for (unsigned i = 0; i < users; i++)
		len += (size_t)snprintf(text + len, room - len, "user u%u\ntopic a/%u/#\n",
					i * 7919u % users, i * 7919u % users);
	for (unsigned i = 0; i < users; i++)
		len +=
		    (size_t)snprintf(text + len, room - len, "user u%u\ntopic deny a/%u/b\n", i, i);
	struct acl *acl = acl_parse(slice_of(text, len), "FILE", &problems);

	ck_assert_ptr_nonnull(acl);
	for (unsigned i = 0; i < users; i += users / 10 - 1) {
		char topic[32];
		snprintf(name, sizeof(name), "u%u", i);
		const struct slice user = slice_text(name);
		snprintf(topic, sizeof(topic), "a/%u/c", i);
		struct acl_question question = question_of(acl, &user, topic);
		ck_assert_msg(acl_allows(acl, &question), "%s", topic);
		snprintf(topic, sizeof(topic), "a/%u/b", i);
		question = question_of(acl, &user, topic);
		ck_assert_int_eq(acl_ask(acl, &question), ACL_DENIES);
	}
	acl_destroy(acl);
	free(text);
}
END_TEST

/* A filled pattern may be longer than a filter: it matches nothing. */
START_TEST(a_long_name_fits_no_pattern)
{
	static char id[60000];
	struct problems problems = {0};
	struct acl *acl = acl_parse(SLICE_LITERAL("pattern %c/%c\n"), "FILE", &problems);

	memset(id, 'a', sizeof(id));
	ck_assert(!acl_allows(acl, &(struct acl_question){.client_id = slice_of(id, sizeof(id)),
							  .right = AUTH_READ,
							  .topic = SLICE_LITERAL("a/a")}));
	ck_assert(acl_allows(acl, &(struct acl_question){.client_id = slice_of(id, 1),
							 .right = AUTH_READ,
							 .topic = SLICE_LITERAL("a/a")}));
	acl_destroy(acl);
}
END_TEST

Suite *acl_suite(void)
{
	const TTest *const tests[] = {names_all_that_is_wrong, says_which_file_is_not_there,
				      as_many_users_as_there_are, a_long_name_fits_no_pattern};
	Suite *suite = suite_of("acl", tests, COUNT_OF(tests));
	TCase *tables = tcase_create("tables");

	tcase_add_loop_test(tables, answers, 0, COUNT_OF(questions));
	tcase_add_loop_test(tables, refuses_what_is_not_right, 0, COUNT_OF(refused));
	suite_add_tcase(suite, tables);
	return suite;
}
