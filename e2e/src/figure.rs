//! A figure and the limit that it is held against.

use std::time::Duration;

/// Delay of an engine's step from which on the machine did not keep up: a step takes 7 to 200 ms.
const LATE: Duration = Duration::from_millis(100);

/// A figure and the limit that it is held against.
#[derive(Debug)]
pub struct Figure {
    what: String,
    value: f64,
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
            value: figure.into(),
            limit: limit.into(),
            unit,
            relation,
        }
    }

    /// `figure` must not exceed `limit`.
    pub fn at_most(
        what: impl Into<String>,
        figure: impl Into<f64>,
        limit: impl Into<f64>,
        unit: &'static str,
    ) -> Self {
        Self::new(what, figure, limit, unit, Relation::AtMost)
    }

    /// `figure` must reach `limit`.
    pub fn at_least(
        what: impl Into<String>,
        figure: impl Into<f64>,
        limit: impl Into<f64>,
        unit: &'static str,
    ) -> Self {
        Self::new(what, figure, limit, unit, Relation::AtLeast)
    }

    /// `figure`, for comparison.
    pub fn told(what: impl Into<String>, figure: impl Into<f64>, unit: &'static str) -> Self {
        Self::new(what, figure, f64::NAN, unit, Relation::Told)
    }

    /// A comparison of times says nothing when the machine was too busy to keep the engines' time: then it is only told.
    pub fn unless_late(mut self, late: Duration) -> Self {
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

    /// A time, or a ratio of times, is told and not judged.
    #[must_use]
    pub fn untimed(self) -> Self {
        if ["ms", "s", "x"].contains(&self.unit) {
            Self {
                limit: f64::NAN,
                relation: Relation::Told,
                ..self
            }
        } else {
            self
        }
    }

    /// What it is.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The figure itself.
    pub const fn value(&self) -> f64 {
        self.value
    }

    /// What it is held against; not a number, and so null in JSON, where it is only told.
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// Its unit.
    pub const fn unit(&self) -> &'static str {
        self.unit
    }

    /// Whether it keeps its limit; one that is only told does.
    pub fn pass(&self) -> bool {
        match self.relation {
            Relation::AtMost => self.value <= self.limit,
            Relation::AtLeast => self.value >= self.limit,
            Relation::Told => true,
        }
    }

    /// The figure beside its limit.
    pub fn line(&self) -> String {
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
        let figure = format!("{} {}", number(self.value), self.unit);
        format!("  {:<58} {figure:>12} {limit:>10}  {verdict}", self.what)
    }
}
