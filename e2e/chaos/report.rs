//! What a scenario found: requests accounted for, and each figure beside its limit.

use std::time::Duration;

use plimsoll_e2e::Tally;
use serde_json::{Value, json};

/// Delay of an engine's step from which on the machine did not keep up: a step takes 7 to 200 ms.
const LATE: Duration = Duration::from_millis(100);

/// Findings of one scenario.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) figures: Vec<Figure>,
}

/// A figure and the limit that it is held against.
#[derive(Debug)]
pub(crate) struct Figure {
    what: String,
    figure: f64,
    limit: f64,
    unit: &'static str,
    relation: Relation,
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    AtMost,
    AtLeast,
    /// Told for comparison; no limit of ours.
    Told,
}

impl Figure {
    fn new(
        what: impl Into<String>,
        figure: impl Into<f64>,
        limit: impl Into<f64>,
        unit: &'static str,
        relation: Relation,
    ) -> Self {
        Self {
            what: what.into(),
            figure: figure.into(),
            limit: limit.into(),
            unit,
            relation,
        }
    }

    /// `figure` must not exceed `limit`.
    pub(crate) fn at_most(
        what: impl Into<String>,
        figure: impl Into<f64>,
        limit: impl Into<f64>,
        unit: &'static str,
    ) -> Self {
        Self::new(what, figure, limit, unit, Relation::AtMost)
    }

    /// `figure` must reach `limit`.
    pub(crate) fn at_least(
        what: impl Into<String>,
        figure: impl Into<f64>,
        limit: impl Into<f64>,
        unit: &'static str,
    ) -> Self {
        Self::new(what, figure, limit, unit, Relation::AtLeast)
    }

    /// `figure`, for comparison.
    pub(crate) fn told(
        what: impl Into<String>,
        figure: impl Into<f64>,
        unit: &'static str,
    ) -> Self {
        Self::new(what, figure, f64::NAN, unit, Relation::Told)
    }

    /// A comparison of times says nothing when the machine was too busy to keep the engines' time: then it is only told.
    pub(crate) fn unless_late(mut self, late: Duration) -> Self {
        if late > LATE {
            self.what = format!(
                "{}; not judged, engines up to {} ms late",
                self.what,
                late.as_millis()
            );
            self.limit = f64::NAN;
            self.relation = Relation::Told;
        }
        self
    }

    fn pass(&self) -> bool {
        match self.relation {
            Relation::AtMost => self.figure <= self.limit,
            Relation::AtLeast => self.figure >= self.limit,
            Relation::Told => true,
        }
    }

    fn line(&self) -> String {
        let number = |value: f64| {
            if value.fract() == 0.0 {
                format!("{value:.0}")
            } else {
                format!("{value:.2}")
            }
        };
        let limit = match self.relation {
            Relation::AtMost => format!("<= {}", number(self.limit)),
            Relation::AtLeast => format!(">= {}", number(self.limit)),
            Relation::Told => String::new(),
        };
        let verdict = match (self.pass(), self.relation) {
            (_, Relation::Told) => "",
            (true, _) => "ok",
            (false, _) => "FAIL",
        };
        let figure = format!("{} {}", number(self.figure), self.unit);
        format!("  {:<58} {figure:>12} {limit:>10}  {verdict}", self.what)
    }
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
                "name": format!("{}: {}", self.name, figure.what),
                "sent": self.tally.sent(),
                "ok": self.tally.ok(),
                "failed": self.tally.sent() - self.tally.ok(),
                "failed_before_first_byte": self.tally.failed_before_first_byte(),
                "why": self.tally.why(),
                "figure": figure.figure,
                // Not a number, and so null, where a figure is only told.
                "limit": figure.limit,
                "unit": figure.unit,
                "pass": figure.pass(),
            })
        })
    }
}
