//- options
{"folder", "media", "media", "the folder in which media lie"},
//- hook
void exports_picam_plugin_naming_name(exports_picam_plugin_naming_object_t *object, string *ret) {
  static const char *const kinds[] = {"init", "segment", "part"};
  *ret = text(setting("folder"));
  put_text(ret, "/");
  put_text(ret, kinds[object->kind]);
  put_text(ret, "-");
  put_number(ret, object->number, 1);
  put_text(ret, object->kind == EXPORTS_PICAM_PLUGIN_NAMING_KIND_INIT ? ".mp4" : ".m4s");
  exports_picam_plugin_naming_object_free(object);
}

bool exports_picam_plugin_naming_segment_template(string *rendition, string *ret) {
  *ret = text(setting("folder"));
  put_text(ret, "/segment-$Number$.m4s");
  front_door_string_free(rendition);
  return true;
}

