//! Metrics, log and time.

use wasmtime::{Linker, Result};

use super::State;
use super::guest::{Guest, finish, proxy, read_text, status, write, write_word};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut g: Guest<'_>, kind: u32, name: u32, len: u32, at: u32| -> u32 {
            let answer =
                read_text(&g, name, len).and_then(|name| proxy(&g).define_metric(kind, &name));
            status(answer.and_then(|id| write_word(&mut g, at, id)))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_increment_metric",
        |g: Guest<'_>, id: u32, offset: i64| status(proxy(&g).increment_metric(id, offset)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_record_metric",
        |g: Guest<'_>, id: u32, value: u64| status(proxy(&g).record_metric(id, value)),
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_metric",
        |mut g: Guest<'_>, id: u32, at: u32| -> u32 {
            let answer = proxy(&g).read_metric(id);
            status(answer.and_then(|value| write(&mut g, at, &value.to_le_bytes())))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_log",
        |g: Guest<'_>, level: u32, text: u32, len: u32| -> u32 {
            status(read_text(&g, text, len).and_then(|text| proxy(&g).log(level, &text)))
        },
    )?;
    linker.func_wrap("env", "proxy_get_log_level", |mut g: Guest<'_>, at: u32| {
        let answer = proxy(&g).log_level();
        status(answer.and_then(|level| write_word(&mut g, at, level)))
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut g: Guest<'_>, at: u32| {
            let answer = proxy(&g).time();
            status(answer.and_then(|time| write(&mut g, at, &time.to_le_bytes())))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |g: Guest<'_>, period_ms: u32| -> Result<u32> {
            let answer = proxy(&g).set_tick(period_ms);
            finish(&g, answer)
        },
    )?;
    Ok(())
}
