//! `plimsoll-sim report`.

use std::path::PathBuf;

use clap::Args;
use plimsoll_sim::attribution::{Account, Accounts};
use plimsoll_sim::report::Table;
use serde::Serialize;

/// Arguments of `report`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A proxy's access log (`cargo xtask serve --access-log`).
    log: PathBuf,
    /// Price of a million prompt tokens that were not cached.
    #[arg(long, default_value_t = 0.0, value_parser = price)]
    prompt_price: f64,
    /// Price of a million prompt tokens that were.
    #[arg(long, default_value_t = 0.0, value_parser = price)]
    cached_price: f64,
    /// Price of a million tokens of answers.
    #[arg(long, default_value_t = 0.0, value_parser = price)]
    output_price: f64,
    /// Price of an hour of a GPU.
    #[arg(long, default_value_t = 0.0, value_parser = price)]
    gpu_price: f64,
    /// Time in which the first byte should come, milliseconds.
    #[arg(long, default_value_t = 1000.0, value_parser = super::positive)]
    objective_ms: f64,
    /// Write the report here as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn price(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && *value >= 0.0)
        .ok_or_else(|| "a number from 0".to_owned())
}

#[derive(Serialize)]
struct Row<'a> {
    tenant: &'a str,
    tier: &'a str,
    #[serde(flatten)]
    account: &'a Account,
    amount: f64,
    first_byte_p50_ms: f64,
    first_byte_p99_ms: f64,
    waited_p99_ms: f64,
    within_objective: f64,
}

#[derive(Serialize)]
struct Report<'a> {
    tenants: Vec<Row<'a>>,
    unreadable_lines: u64,
}

impl Arguments {
    fn amount(&self, account: &Account) -> f64 {
        let uncached = account.prompt_tokens.saturating_sub(account.cached_tokens);
        let tokens = uncached as f64 * self.prompt_price
            + account.cached_tokens as f64 * self.cached_price
            + account.output_tokens as f64 * self.output_price;
        tokens / 1e6 + account.gpu_seconds / 3600.0 * self.gpu_price
    }
}

/// Prints every tenant's bill, and what it was served like.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let path = &arguments.log;
    let log =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let accounts = Accounts::read(&log);
    let rows: Vec<Row<'_>> = accounts
        .of
        .iter()
        .map(|((tenant, tier), account)| {
            let first_byte = account.first_byte_ms();
            Row {
                tenant,
                tier,
                account,
                amount: arguments.amount(account),
                first_byte_p50_ms: first_byte.p50,
                first_byte_p99_ms: first_byte.p99,
                waited_p99_ms: account.waited_ms().p99,
                within_objective: account.within(arguments.objective_ms),
            }
        })
        .collect();
    println!("bill\n{}", bill(&rows));
    println!(
        "service, objective {} ms\n{}",
        arguments.objective_ms,
        service(&rows)
    );
    if accounts.unreadable > 0 {
        println!("{} lines are no JSON", accounts.unreadable);
    }
    let report = Report {
        tenants: rows,
        unreadable_lines: accounts.unreadable,
    };
    super::write_json(arguments.json.as_deref(), &report)
}

fn bill(rows: &[Row<'_>]) -> Table {
    let mut table = Table::new([
        "tenant",
        "tier",
        "served",
        "reused",
        "prompt",
        "cached",
        "output",
        "estimated",
        "GPU s",
        "amount",
    ]);
    for row in rows {
        let account = row.account;
        table.line(vec![
            row.tenant.to_owned(),
            row.tier.to_owned(),
            account.served.to_string(),
            account.reused.to_string(),
            account.prompt_tokens.to_string(),
            account.cached_tokens.to_string(),
            account.output_tokens.to_string(),
            account.estimated.to_string(),
            format!("{:.3}", account.gpu_seconds),
            format!("{:.4}", row.amount),
        ]);
    }
    table
}

fn service(rows: &[Row<'_>]) -> Table {
    let mut table = Table::new([
        "tenant",
        "tier",
        "requests",
        "refused",
        "failed",
        "first byte p50",
        "p99 ms",
        "waited p99 ms",
        "in time",
    ]);
    for row in rows {
        let account = row.account;
        table.line(vec![
            row.tenant.to_owned(),
            row.tier.to_owned(),
            account.requests.to_string(),
            account.refused.values().sum::<u64>().to_string(),
            account.failed.to_string(),
            format!("{:.0}", row.first_byte_p50_ms),
            format!("{:.0}", row.first_byte_p99_ms),
            format!("{:.0}", row.waited_p99_ms),
            format!("{:.4}", row.within_objective),
        ]);
    }
    table
}
