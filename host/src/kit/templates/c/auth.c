//- options
{"word", "", "none", "who gives it, as in /?word=sesame, is let in from anywhere"},
//- init
if (strspn(setting("word"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != strlen(setting("word"))) {
  *err = text("word: expected letters and digits, as in word=sesame");
  return false;
}
//- hook
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

