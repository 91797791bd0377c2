//! Line charts side by side, and bars.

use core::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{self, FAINT, FONT, GRID, INK, PAPER};

/// Pixels.
const WIDTH: u32 = 960;
const HEIGHT: u32 = 400;
/// Room for the names at the ends of lines.
const NAMES: u32 = 104;
/// Least distance between two of them.
const NAME_STEP: i32 = 14;

/// What an axis shows.
#[derive(Clone)]
pub(super) struct Axis {
    pub(super) title: &'static str,
    /// Marked values, ascending; the first and the last are the ends.
    pub(super) ticks: Vec<f64>,
    pub(super) log: bool,
    /// Writes a marked value.
    pub(super) format: fn(f64) -> String,
}

impl Axis {
    fn ends(&self) -> (f64, f64) {
        let first = self.ticks.first().copied().unwrap_or(0.0);
        (first, self.ticks.last().copied().unwrap_or(1.0))
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (first, last) = self.ends();
        let value = value.clamp(first, last);
        let part = if self.log {
            (value / first).ln() / (last / first).ln()
        } else {
            (value - first) / (last - first)
        };
        from + (part * f64::from(to - from)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _hint: H) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        let (first, last) = self.ends();
        first..last
    }
}

/// One policy's line.
pub(super) struct Line {
    pub(super) policy: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// One chart.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// A level worth knowing, and what it is.
    pub(super) level: Option<(f64, &'static str)>,
}

/// A drawing: title, charts, and the line below that says where it comes from.
pub(super) struct Figure {
    pub(super) title: &'static str,
    pub(super) source: String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn core::error::Error>>;

impl Figure {
    /// Draws panels side by side.
    pub(super) fn lines(&self, panels: &[Panel]) -> Result<String, String> {
        self.draw(HEIGHT, panels.len(), |area, at| panel(area, &panels[at]))
    }

    /// Draws panels of bars side by side.
    pub(super) fn bars(&self, panels: &[Bars]) -> Result<String, String> {
        let most = panels.iter().map(|panel| panel.bars.len()).max();
        let height = 110 + 20 * most.unwrap_or(0) as u32;
        self.draw(height, panels.len(), |area, at| bars(area, &panels[at]))
    }

    fn draw(
        &self,
        height: u32,
        count: usize,
        each: impl Fn(&Area<'_>, usize) -> Drawn,
    ) -> Result<String, String> {
        let mut svg = String::new();
        let drawn: Drawn = (|| {
            let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            root.fill(&PAPER)?;
            text(&root, self.title, (16, 10), 17, &INK, HPos::Left)?;
            let below = height as i32 - 18;
            text(&root, &self.source, (16, below), 11, &FAINT, HPos::Left)?;
            let body = root.margin(36, 26, 8, 8);
            for (at, area) in body.split_evenly((1, count)).iter().enumerate() {
                each(area, at)?;
            }
            root.present()?;
            Ok(())
        })();
        drawn.map_err(|error| format!("{}: {error}", self.title))?;
        Ok(style::finish(&svg, self.title))
    }
}

fn text(
    area: &Area<'_>,
    words: &str,
    at: (i32, i32),
    size: u32,
    colour: &RGBColor,
    horizontal: HPos,
) -> Drawn {
    let style = (FONT, size).into_font().color(colour);
    let style = style.pos(Pos::new(horizontal, VPos::Top));
    area.draw(&Text::new(words.to_owned(), at, style))?;
    Ok(())
}

fn panel(area: &Area<'_>, panel: &Panel) -> Drawn {
    text(area, &panel.title, (60, 2), 13, &FAINT, HPos::Left)?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(24)
        .margin_right(NAMES)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(panel.x.clone(), panel.y.clone())?;
    let letters = (FONT, 12).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .x_labels(panel.x.ticks.len())
        .y_labels(panel.y.ticks.len())
        .x_label_formatter(&|at| (panel.x.format)(*at))
        .y_label_formatter(&|at| (panel.y.format)(*at))
        .label_style(letters.clone())
        .axis_desc_style(letters)
        .x_desc(panel.x.title)
        .y_desc(panel.y.title)
        .draw()?;
    let (first, last) = panel.x.ends();
    if let Some((level, _)) = panel.level {
        let ends = [(first, level), (last, level)];
        let dots = ShapeStyle::from(INK).stroke_width(1);
        let line = DashedLineSeries::new(ends, 2, 4, dots);
        chart.draw_series(line)?;
    }
    let mut names: Vec<(i32, i32, &str, RGBColor)> = Vec::new();
    if let Some((level, name)) = panel.level {
        let (x, y) = chart.backend_coord(&(last, level));
        // Lines may end short of the axis; the level's name stands with theirs.
        let x = match panel.lines.iter().find_map(|line| line.points.last()) {
            Some(end) => chart.backend_coord(end).0,
            None => x,
        };
        names.push((y, x, name, INK));
    }
    for line in &panel.lines {
        let points = line.points.iter().copied();
        let look = style::line(&line.policy);
        if style::knows_all(&line.policy) {
            chart.draw_series(DashedLineSeries::new(points, 6, 4, look))?;
        } else {
            chart.draw_series(LineSeries::new(points, look))?;
        }
        if let Some(end) = line.points.last() {
            let (x, y) = chart.backend_coord(end);
            names.push((y, x, &line.policy, style::colour(&line.policy)));
        }
    }
    names.sort_by_key(|&(y, ..)| y);
    let (left, top) = area.get_base_pixel();
    let (_, floor) = chart.backend_coord(&(last, panel.y.ends().0));
    let wanted: Vec<i32> = names.iter().map(|&(y, ..)| y - 7).collect();
    for (y, (_, x, name, colour)) in apart(wanted, floor).into_iter().zip(names) {
        text(area, name, (x + 6 - left, y - top), 12, &colour, HPos::Left)?;
    }
    Ok(())
}

/// Ascending places of names, moved apart where lines meet: first downwards, then back up from `floor`.
fn apart(mut places: Vec<i32>, floor: i32) -> Vec<i32> {
    let mut least = i32::MIN;
    for place in &mut places {
        *place = least.max(*place);
        least = *place + NAME_STEP;
    }
    let mut most = floor;
    for place in places.iter_mut().rev() {
        *place = most.min(*place);
        most = *place - NAME_STEP;
    }
    places
}

/// Horizontal bars from the least to the greatest.
pub(super) struct Bars {
    pub(super) title: String,
    /// What a bar's length is.
    pub(super) axis: &'static str,
    /// Policy and figure.
    pub(super) bars: Vec<(String, f64)>,
}

fn bars(area: &Area<'_>, panel: &Bars) -> Drawn {
    text(area, &panel.title, (120, 2), 13, &FAINT, HPos::Left)?;
    let (width, height) = area.dim_in_pixel();
    let most = panel
        .bars
        .iter()
        .map(|(_, value)| *value)
        .fold(1e-9, f64::max);
    let room = f64::from(width) - 120.0 - 60.0;
    for (row, (policy, value)) in panel.bars.iter().enumerate() {
        let y = 24 + row as i32 * 20;
        let ink = if policy == "plimsoll" { INK } else { FAINT };
        text(area, policy, (112, y), 12, &ink, HPos::Right)?;
        let end = 120 + (room * value / most) as i32;
        let bar = [(120, y - 2), (end, y + 11)];
        area.draw(&Rectangle::new(bar, style::colour(policy).filled()))?;
        text(
            area,
            &format!("{value:.2}"),
            (end + 6, y),
            12,
            &ink,
            HPos::Left,
        )?;
    }
    text(
        area,
        panel.axis,
        (120, height as i32 - 22),
        12,
        &INK,
        HPos::Left,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_moved_apart_and_stay_inside() {
        assert_eq!(apart(vec![0, 50, 51], 100), [0, 50, 64]);
        assert_eq!(apart(vec![0, 99, 100], 100), [0, 86, 100]);
    }

    #[test]
    fn a_drawing_has_its_words_and_a_dark_scheme() {
        let axis = |title, log| Axis {
            title,
            ticks: vec![1.0, 10.0],
            log,
            format: |value| format!("{value}"),
        };
        let line = |policy: &str| Line {
            policy: policy.to_owned(),
            points: vec![(1.0, 2.0), (10.0, 100.0)],
        };
        let panel = Panel {
            title: "left".to_owned(),
            x: axis("seconds", false),
            y: axis("ms", true),
            lines: vec![line("plimsoll"), line("oracle")],
            level: Some((5.0, "limit")),
        };
        let figure = Figure {
            title: "Title",
            source: "where from".to_owned(),
        };
        let svg = figure.lines(&[panel]).unwrap();
        for words in [
            "seconds",
            "ms",
            "plimsoll",
            "oracle",
            "limit",
            "left",
            "where from",
        ] {
            assert!(svg.contains(words), "{words}");
        }
        assert!(svg.contains("prefers-color-scheme: dark") && svg.contains("<title>Title"));
        let bars = Bars {
            title: "right".to_owned(),
            axis: "composite",
            bars: vec![("plimsoll".to_owned(), 0.25)],
        };
        assert!(figure.bars(&[bars]).unwrap().contains("0.25"));
    }
}
