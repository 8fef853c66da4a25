;; The smallest plugin there is, without any SDK: it says hello{from="wat"} 42.
;; hello.wasm is this file, assembled; a test of internal/plugin does it again.
(module
  (import "sentinel" "emit" (func $emit (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A record: a gauge (1) with one label; lengths of name (5) and unit (0), of the
  ;; label's name (4) and value (3); the texts; 42 as a double.
  (data (i32.const 1024)
    "\01\01\05\00\00\00\04\00\03\00hellofromwat\00\00\00\00\00\00\45\40")
  (func (export "sentinel_abi_version") (result i32) (i32.const 1))
  (func (export "sentinel_collect") (result i32)
    (drop (call $emit (i32.const 1024) (i32.const 30)))
    (i32.const 0)))
