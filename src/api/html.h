/* api/html.h - pages for people (private to api/): whole documents, made on the server, without a script. Core loop's thread.
 *
 * Everything that is not ours goes through html_text(): a host may call itself what it likes. The headers that go with every page let
 * a browser run nothing, load nothing, be framed by nobody and keep nothing. */
#ifndef MUSTER_API_HTML_H
#define MUSTER_API_HTML_H

#include "api/call.h"

/* Appends @s as text or as the value of a quoted attribute: & < > " ' as entities; control characters (those that
 * turn the direction of text too) and what is no UTF-8 as U+FFFD. */
void html_text(struct buf *b, struct str s);
void html_cstr(struct buf *b, const char *s);
/* Begins the document in @c's answer, up to <main> and its heading, with the headers. Anything written before is forgotten. */
struct buf *html_begin(struct call *c, const char *title);
/* Ends it. Answer with reply_parked() or reply_now(). */
void html_end(struct call *c);

#endif
