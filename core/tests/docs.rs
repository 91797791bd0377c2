//! The generated documentation of the configuration is what the code says. `PLIMSOLL_WRITE_GOLDEN=1` writes it anew.

use std::{fs, path::Path};

use plimsoll_core::config::Config;

fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    if std::env::var_os("PLIMSOLL_WRITE_GOLDEN").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{name} is not what the code says; PLIMSOLL_WRITE_GOLDEN=1 cargo test -p plimsoll-core writes it"
    );
}

#[test]
fn the_schema_is_current() {
    check("config.schema.json", &format!("{:#}\n", Config::schema()));
}

#[test]
fn the_table_is_current() {
    let intro = "# Configuration\n\n\
        The plugin configuration is one JSON document. `{}` is valid: hosts are then discovered from cluster `pool` through the proxy's\n\
        admin interface. A document with any error is refused as a whole, every error is logged with the field, its value and what is\n\
        accepted, and the configuration in force keeps serving. `config.schema.json` is the JSON schema; both are written from the\n\
        declaration in `core/src/config/declare.rs`.\n\n";
    check("configuration.md", &format!("{intro}{}", Config::table()));
}
