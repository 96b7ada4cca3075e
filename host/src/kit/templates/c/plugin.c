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
    //+ options
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
  ret->summary = text("SUMMARY");
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
  //+ init
  return true;
}

//+ hook
