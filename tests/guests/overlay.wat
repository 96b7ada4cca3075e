;; Draws one of everything, with the whole second of the presentation in digits, until the next second; by the canonical
;; ABI's rules done by hand. An operation is 13 words: which it is, then its fields.
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
  (data (i32.const 1024) "everything")
  (data (i32.const 1056) "1.0.0")
  (data (i32.const 1072) "made for a test")
  (data (i32.const 1104)
    "\00\04\00\00\0a\00\00\00" "\20\04\00\00\05\00\00\00" "\30\04\00\00\0f\00\00\00"
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

  (global $at (mut i32) (i32.const 0))
  (func $word (param $value i32)
    (i32.store (global.get $at) (local.get $value))
    (global.set $at (i32.add (global.get $at) (i32.const 4))))
  (func $words (param i32 i32 i32 i32)
    (call $word (local.get 0)) (call $word (local.get 1)) (call $word (local.get 2)) (call $word (local.get 3)))

  (func (export "picam:plugin/overlay@0.1.0#draw")
    (param $time i64) (param $captured i64) (param $width i32) (param $height i32) (result i32)
    (local $second i64) (local $digits i32)
    (local.set $second (i64.div_u (local.get $time) (i64.const 1000000)))
    (local.set $digits (call $digits (local.get $second)))

    (global.set $at (i32.const 4096))
    ;; A rectangle around everything: from, to; no fill, a green edge of 20.
    (call $words (i32.const 1) (i32.const 100) (i32.const 100) (i32.const 900))
    (call $words (i32.const 900) (i32.const 0) (i32.const 0xff000100) (i32.const 0x0000ff00))
    (call $words (i32.const 20) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $word (i32.const 0))
    ;; The seconds, in yellow on blue, centred on the middle.
    (call $words (i32.const 0) (i32.const 500) (i32.const 500) (i32.const 4))
    (call $words (local.get $digits) (i32.sub (i32.const 2200) (local.get $digits)) (i32.const 200)
      (i32.const 0xff00ffff))
    (call $words (i32.const 0xff000001) (i32.const 0x000000ff) (i32.const 0) (i32.const 0))
    (call $word (i32.const 0))
    ;; A white line below it.
    (call $words (i32.const 2) (i32.const 200) (i32.const 700) (i32.const 800))
    (call $words (i32.const 700) (i32.const 0xffffffff) (i32.const 10) (i32.const 0))
    (call $words (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $word (i32.const 0))
    ;; A picture in the lower right corner.
    (call $words (i32.const 3) (i32.const 1000) (i32.const 1000) (i32.const 8))
    (call $words (i32.const 100) (i32.const 2304) (i32.const 70) (i32.const 0))
    (call $words (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $word (i32.const 0))

    (i32.store (i32.const 2048) (i32.const 4096))
    (i32.store offset=4 (i32.const 2048) (i32.const 4))
    (i64.store offset=8 (i32.const 2048)
      (i64.mul (i64.add (local.get $second) (i64.const 1)) (i64.const 1000000)))
    (i32.const 2048))

  ;; Magenta and cyan, side by side.
  (data (i32.const 2304)
    "\89PNG\0d\0a\1a\0a\00\00\00\0dIHDR\00\00\00\02\00\00\00\01\08\02\00\00\00{@\e8\dd\00\00\00\0dIDATx\dac\f8\cf\00\84\ff\01\0c\fa\03\fd\06\01\14\12\00\00\00\00IEND\aeB`\82"))
