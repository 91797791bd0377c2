//! What a scenario found: requests accounted for, and each figure beside its limit.

use plimsoll_e2e::{Figure, Tally};
use serde_json::{Value, json};

/// Findings of one scenario.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(name: &'static str, tally: Tally, figures: Vec<Figure>) -> Self {
        Self {
            name,
            tally,
            figures,
        }
    }

    /// A scenario that could not be played to its end.
    pub(crate) fn broken(name: &'static str, why: &str) -> Self {
        let figure = Figure::at_most(why, 1, 0, "");
        Self::new(name, Tally::default(), vec![figure])
    }

    pub(crate) fn pass(&self) -> bool {
        self.figures.iter().all(Figure::pass)
    }

    pub(crate) fn print(&self) {
        let (sent, ok) = (self.tally.sent(), self.tally.ok());
        let why: Vec<String> = self
            .tally
            .why()
            .into_iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(" ({})", why.join(", "))
        };
        println!(
            "{}: sent {sent}, ok {ok}, failed {}{why}",
            self.name,
            sent - ok
        );
        for figure in &self.figures {
            println!("{}", figure.line());
        }
    }

    /// A row for each figure.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Value> {
        self.figures.iter().map(|figure| {
            json!({
                "name": format!("{}: {}", self.name, figure.what()),
                "sent": self.tally.sent(),
                "ok": self.tally.ok(),
                "failed": self.tally.sent() - self.tally.ok(),
                "failed_before_first_byte": self.tally.failed_before_first_byte(),
                "why": self.tally.why(),
                "figure": figure.value(),
                // Not a number, and so null, where a figure is only told.
                "limit": figure.limit(),
                "unit": figure.unit(),
                "pass": figure.pass(),
            })
        })
    }
}
