//! Linker settings of the module.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let family = std::env::var("CARGO_CFG_TARGET_FAMILY").unwrap_or_default();
    if family.split(',').any(|family| family == "wasm") {
        // The linker pads every index to five bytes so that it can patch it; once linked, the padding is 5 % of the module.
        println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
    }
}
