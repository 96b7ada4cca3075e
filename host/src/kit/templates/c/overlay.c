//- options
{"text", "Hello from front-door", "Hello from front-door", "what is written on the picture"},
//- hook
void exports_picam_plugin_overlay_draw(exports_picam_plugin_overlay_frame_t *frame,
                                       exports_picam_plugin_overlay_drawing_t *ret) {
  exports_picam_plugin_overlay_operation_t *operation = calloc(1, sizeof *operation);
  operation->tag = EXPORTS_PICAM_PLUGIN_OVERLAY_OPERATION_TEXT;
  // Positions and sizes are thousandths of the picture.
  exports_picam_plugin_overlay_text_t *line = &operation->val.text;
  line->at = (exports_picam_plugin_overlay_point_t){20, 30};
  line->anchor = EXPORTS_PICAM_PLUGIN_OVERLAY_ANCHOR_TOP_LEFT;
  line->content = text(setting("text"));
  line->size = 60;
  line->colour = (exports_picam_plugin_overlay_colour_t){255, 255, 255, 255};
  line->background.is_some = true;
  line->background.val = (exports_picam_plugin_overlay_colour_t){0, 0, 0, 128};
  line->font = text("");
  ret->operations.len = 1;
  ret->operations.ptr = operation;
  // For good.
  ret->until = UINT64_MAX;
}

