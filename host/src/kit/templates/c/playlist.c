//- options
{"segments", "10", "10", "how many are listed, 3 to 1000"},
//- init
if (atoi(setting("segments")) < 3 || atoi(setting("segments")) > 1000) {
  *err = text("segments: expected a whole number from 3 to 1000, as in segments=10");
  return false;
}
//- hook
void exports_picam_plugin_playlist_wanted_timing(exports_picam_plugin_playlist_timing_request_t *ret) {
  memset(ret, 0, sizeof *ret);
}

void exports_picam_plugin_playlist_documents(exports_picam_plugin_playlist_list_document_t *ret) {
  ret->len = 1;
  ret->ptr = calloc(1, sizeof *ret->ptr);
  // Seen from the host, it lies at /cam/front-door.m3u8.
  ret->ptr->path = text("front-door.m3u8");
  ret->ptr->scope = EXPORTS_PICAM_PLUGIN_PLAYLIST_SCOPE_STREAM;
  ret->ptr->content_type = text("application/vnd.apple.mpegurl");
}

static void put_tag(string *to, const char *tag, uint64_t value) {
  put_text(to, tag);
  put_number(to, value, 1);
  put_text(to, "\n");
}

// An address: media lie in the presentation's own folder, beside this document.
static void put_address(string *to, string folder, string path) {
  put(to, folder.ptr, folder.len);
  put_text(to, "/");
  put(to, path.ptr, path.len);
}

static bool same(string a, string b) { return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len); }

void exports_picam_plugin_playlist_render(exports_picam_plugin_playlist_request_t *request,
                                          exports_picam_plugin_playlist_presentation_t *presentation,
                                          exports_picam_plugin_playlist_answer_t *ret) {
  memset(ret, 0, sizeof *ret);
  if (!presentation->renditions.len) {
    ret->tag = EXPORTS_PICAM_PLUGIN_PLAYLIST_ANSWER_REFUSE;
    ret->val.refuse.status = 503;
    ret->val.refuse.reason = text("the stream has not begun yet");
  } else {
    exports_picam_plugin_playlist_rendition_t *rendition = &presentation->renditions.ptr[0];
    exports_picam_plugin_playlist_segment_t *segments = rendition->segments.ptr;
    // Only the last one can be growing.
    size_t count = rendition->segments.len, most = atoi(setting("segments"));
    if (count && !segments[count - 1].complete) count--;
    size_t first = count > most ? count - most : 0, before = 0;
    for (size_t at = 0; at < first; at++) before += segments[at].discontinuity;

    string body = text("#EXTM3U\n#EXT-X-VERSION:7\n");
    put_tag(&body, "#EXT-X-TARGETDURATION:", presentation->timing.target_duration);
    put_tag(&body, "#EXT-X-MEDIA-SEQUENCE:", first < count ? segments[first].sequence : 0);
    put_tag(&body, "#EXT-X-DISCONTINUITY-SEQUENCE:", rendition->discontinuity_sequence + before);
    for (size_t at = first; at < count; at++) {
      if (segments[at].discontinuity) put_text(&body, "#EXT-X-DISCONTINUITY\n");
      if (at == first || !same(segments[at].init, segments[at - 1].init)) {
        put_text(&body, "#EXT-X-MAP:URI=\"");
        put_address(&body, presentation->id, segments[at].init);
        put_text(&body, "\"\n");
      }
      put_text(&body, "#EXTINF:");
      put_number(&body, segments[at].duration / 1000000, 1);
      put_text(&body, ".");
      put_number(&body, segments[at].duration % 1000000, 6);
      put_text(&body, ",\n");
      put_address(&body, presentation->id, segments[at].path);
      put_text(&body, "\n");
    }
    if (presentation->ended) put_text(&body, "#EXT-X-ENDLIST\n");
    ret->tag = EXPORTS_PICAM_PLUGIN_PLAYLIST_ANSWER_DOCUMENT;
    ret->val.document.body = body;
    ret->val.document.max_age = 1;
  }
  exports_picam_plugin_playlist_request_free(request);
  exports_picam_plugin_playlist_presentation_free(presentation);
}

