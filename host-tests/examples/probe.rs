//! Writes the probe module (`tests/probe/probe.wat`) as .wasm, to run it in a real proxy: `cargo run -p plimsoll-host
//! --example probe -- FILE`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("which file?")?;
    let module = wat::parse_str(include_str!("../tests/probe/probe.wat"))?;
    std::fs::write(file, module)?;
    Ok(())
}
