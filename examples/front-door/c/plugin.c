// front-door: a plugin for picam-host.
//
// `picam-host plugin build` makes `front-door.wasm` of it; `picam-host --plugin front-door.wasm` runs it. `build/front_door.h`,
// which a build makes of wit/, is what there is to call and to be called. What a plugin returns must come from malloc: it is
// freed by whoever called. What it is handed is its own, to be freed.

#include <stdlib.h>
#include <string.h>

#include "front_door.h"

typedef front_door_string_t string;

// A copy of a C string, to be returned.
static string text(const char *from) {
  string copy;
  front_door_string_dup(&copy, from);
  return copy;
}

// Text that grows, to be returned. (printf and its family would import WASI, of which a plugin has none.)
static void put(string *to, const void *piece, size_t length) {
  to->ptr = realloc(to->ptr, to->len + length);
  memcpy(to->ptr + to->len, piece, length);
  to->len += length;
}

static void put_text(string *to, const char *piece) { put(to, piece, strlen(piece)); }

// A whole number, with leading zeros up to so many digits.
__attribute__((unused)) static void put_number(string *to, uint64_t number, size_t digits) {
  char text[20];
  size_t at = sizeof text;
  while (number || sizeof text - at < digits) {
    text[--at] = '0' + number % 10;
    number /= 10;
  }
  put(to, text + at, sizeof text - at);
}

// What is configured.
static struct setting {
  const char *key, *value, *shown, *help;
} settings[] = {
    {"word", "", "none", "who gives it, as in /?word=sesame, is let in from anywhere"},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static const char *setting(const char *key) {
  for (int at = 0; at < SETTINGS; at++)
    if (!strcmp(settings[at].key, key)) return settings[at].value;
  return "";
}

void exports_picam_plugin_lifecycle_describe(exports_picam_plugin_lifecycle_description_t *ret) {
  ret->name = text("front-door");
  ret->version = text("0.1.0");
  ret->summary = text("lets in the local network, and whoever knows the word");
  ret->options.len = SETTINGS;
  ret->options.ptr = calloc(SETTINGS, sizeof *ret->options.ptr);
  for (int at = 0; at < SETTINGS; at++) {
    ret->options.ptr[at].key = text(settings[at].key);
    ret->options.ptr[at].default_ = text(settings[at].shown);
    ret->options.ptr[at].help = text(settings[at].help);
  }
}

bool exports_picam_plugin_lifecycle_init(exports_picam_plugin_lifecycle_list_key_value_t *config, string *err) {
  for (size_t at = 0; at < config->len; at++) {
    string key = config->ptr[at].key, value = config->ptr[at].value;
    for (int known = 0; known < SETTINGS; known++)
      if (strlen(settings[known].key) == key.len && !memcmp(settings[known].key, key.ptr, key.len))
        settings[known].value = strndup((const char *)value.ptr, value.len);
  }
  exports_picam_plugin_lifecycle_list_key_value_free(config);
  if (strspn(setting("word"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != strlen(setting("word"))) {
    *err = text("word: expected letters and digits, as in word=sesame");
    return false;
  }
  return true;
}

// Pairs come as lines, with a tab between key and value; see wit/. The word has no letter that would be encoded.
static bool knows_the_word(string pairs) {
  const char *at = (const char *)pairs.ptr, *end = at + pairs.len, *word = setting("word");
  static const char key[] = "word\t";
  size_t length = strlen(word);
  while (at < end) {
    const char *line = memchr(at, '\n', end - at), *stop = line ? line : end;
    if (stop - at >= (long)strlen(key) && !memcmp(at, key, strlen(key))) {
      const char *said = at + strlen(key);
      if (!length || (size_t)(stop - said) != length) return false;
      // Looks at every letter, so that nobody learns from the time it takes how many were right.
      int differences = 0;
      for (size_t letter = 0; letter < length; letter++) differences |= said[letter] ^ word[letter];
      return !differences;
    }
    at = stop + 1;
  }
  return false;
}

// Whether an address belongs to this machine or to its local network.
static bool is_near(string peer) {
  char address[64] = "";
  if (peer.len >= sizeof address) return false;
  memcpy(address, peer.ptr, peer.len);
  const char *at = strncmp(address, "::ffff:", 7) ? address : address + 7;
  static const char *const near[] = {"127.", "10.", "192.168.", "169.254.", "fc", "fd", "fe8", "fe9", "fea", "feb"};
  for (size_t known = 0; known < sizeof near / sizeof near[0]; known++)
    if (!strncmp(at, near[known], strlen(near[known]))) return true;
  int second = strncmp(at, "172.", 4) ? 0 : atoi(at + 4);
  return (second >= 16 && second < 32) || !strcmp(at, "::1");
}

static void allow(exports_picam_plugin_auth_decision_t *ret) {
  ret->tag = EXPORTS_PICAM_PLUGIN_AUTH_DECISION_ALLOW;
  ret->val.allow.reuse.seconds = 3600;
  ret->val.allow.reuse.path_prefix = text("/");
}

void exports_picam_plugin_auth_reads(exports_picam_plugin_auth_inputs_t *ret) {
  memset(ret, 0, sizeof *ret);
  front_door_list_string_t *const lists[] = {&ret->query, &ret->cookies};
  for (int at = 0; at < 2; at++) {
    lists[at]->len = 1;
    lists[at]->ptr = malloc(sizeof *lists[at]->ptr);
    lists[at]->ptr[0] = text("word");
  }
  ret->peer = true;
}

void exports_picam_plugin_auth_decide(exports_picam_plugin_auth_request_t *request,
                                      exports_picam_plugin_auth_decision_t *ret) {
  memset(ret, 0, sizeof *ret);
  if (is_near(request->peer) || (!knows_the_word(request->query) && knows_the_word(request->cookies))) {
    allow(ret);
  } else if (knows_the_word(request->query)) {
    allow(ret);
    // Players don't repeat the query when they fetch media; a cookie comes along by itself.
    string cookie = text("word=");
    put_text(&cookie, setting("word"));
    put_text(&cookie, "; Path=/; HttpOnly; SameSite=Lax");
    ret->val.allow.headers.len = 1;
    ret->val.allow.headers.ptr = malloc(sizeof *ret->val.allow.headers.ptr);
    ret->val.allow.headers.ptr[0].name = text("Set-Cookie");
    ret->val.allow.headers.ptr[0].value = cookie;
  } else {
    ret->tag = EXPORTS_PICAM_PLUGIN_AUTH_DECISION_DENY;
    ret->val.deny.status = 403;
    ret->val.deny.content_type = text("text/plain; charset=utf-8");
    ret->val.deny.body = text("You are not at home here. Add ?word= and the word to the address.\n");
    ret->val.deny.reuse.path_prefix = text("");
  }
  exports_picam_plugin_auth_request_free(request);
}
