;; Names objects i/N, s/N and p/N, by the canonical ABI's rules done by hand. A word below, in capitals, makes room for what a
;; test likes to happen first.
(module
  ;; The heap, for what the host passes, begins at 32 KiB and is emptied after each call.
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 32768))
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  ;; `describe`: three strings and no options.
  (data (i32.const 1024) "letters")
  (data (i32.const 1056) "1.0.0")
  (data (i32.const 1072) "made for a test")
  (data (i32.const 1104)
    "\00\04\00\00\07\00\00\00" "\20\04\00\00\05\00\00\00" "\30\04\00\00\0f\00\00\00"
    "\00\00\00\00\00\00\00\00")
  (func (export "picam:plugin/lifecycle@0.1.0#describe") (result i32) (i32.const 1104))
  (func (export "picam:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32)
    (i32.store8 (i32.const 2048) (i32.const 0))
    (i32.const 2048))

  ;; The digits of a number, ending before 2200; their address.
  (func $digits (param $number i64) (result i32)
    (local $at i32)
    (local.set $at (i32.const 2200))
    (loop $more
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10)))))
      (local.set $number (i64.div_u (local.get $number) (i64.const 10)))
      (br_if $more (i64.ne (local.get $number) (i64.const 0))))
    (local.get $at))

  (func (export "picam:plugin/naming@0.1.0#name")
    (param $kind i32) (param $rendition i32) (param $rendition_len i32) (param $number i64) (param $captured i64)
    (result i32)
    (local $at i32)
    TROUBLE
    (local.set $at (i32.sub (call $digits (local.get $number)) (i32.const 2)))
    ;; Letter and slash: "i/", "s/", "p/", as the kinds are numbered.
    (i32.store16 (local.get $at) (i32.load16_u offset=2208 (i32.mul (local.get $kind) (i32.const 2))))
    (i32.store (i32.const 2048) (local.get $at))
    (i32.store offset=4 (i32.const 2048) (i32.sub (i32.const 2200) (local.get $at)))
    (i32.const 2048))
  (data (i32.const 2208) "i/s/p/")
  (func (export "cabi_post_picam:plugin/naming@0.1.0#name") (param i32)
    (global.set $heap (i32.const 32768)))

  (data (i32.const 2304) "s/$Number$")
  (func (export "picam:plugin/naming@0.1.0#segment-template") (param i32 i32) (result i32)
    (i32.store8 (i32.const 2048) (i32.const 1))
    (i32.store offset=4 (i32.const 2048) (i32.const 2304))
    (i32.store offset=8 (i32.const 2048) (i32.const 10))
    (i32.const 2048)))
