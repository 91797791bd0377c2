//! Linker settings of the module.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let family = std::env::var("CARGO_CFG_TARGET_FAMILY").unwrap_or_default();
    let wasm = family.split(',').any(|family| family == "wasm");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if wasm && release {
        // The linker pads every index to five bytes so that it can patch it; once linked, the padding is 5 % of the
        // module. Debug information would point at the padded places, so the two exclude each other.
        println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
        println!("cargo::rustc-link-arg-cdylib=--strip-debug");
    }
}
