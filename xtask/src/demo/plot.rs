//! The comparison as one SVG: small multiples of bars, one panel a measure.

use std::fmt::Write as _;

use crate::race::Target;

const PANEL_WIDTH: usize = 240;
const PANEL_HEIGHT: usize = 150;
const BAR_HEIGHT: usize = 22;
const COLOURS: [&str; 3] = ["#9aa5b1", "#5b7c99", "#d1495b"];

/// A panel: title, value of a target, unit.
type Panel = (&'static str, fn(&Target) -> f64, &'static str);

const PANELS: [Panel; 6] = [
    ("TTFT p50", |t| t.ttft_ms.p50, "ms"),
    ("TTFT p99", |t| t.ttft_ms.p99, "ms"),
    ("E2E p99", |t| t.e2e_ms.p99, "ms"),
    ("TPOT p99", |t| t.tpot_ms.p99, "ms"),
    ("cache hit ratio", |t| t.cache_hit_ratio * 100.0, "%"),
    ("goodput", |t| t.goodput * 100.0, "%"),
];

/// Bars of every measure for every target.
pub(crate) fn bars(targets: &[Target]) -> String {
    let rows = PANELS.len().div_ceil(3);
    let (width, height) = (PANEL_WIDTH * 3, PANEL_HEIGHT * rows);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, panel) in PANELS.iter().enumerate() {
        let (x, y) = (index % 3 * PANEL_WIDTH, index / 3 * PANEL_HEIGHT);
        draw(&mut svg, panel, targets, x + 10, y + 10);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, &(title, value, unit): &Panel, targets: &[Target], x: usize, y: usize) {
    let greatest = targets.iter().map(value).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        y + 12
    );
    for (row, (target, colour)) in targets.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let top = y + 22 + row * (BAR_HEIGHT + 14);
        let amount = value(target);
        let length = (amount / greatest * (PANEL_WIDTH - 90) as f64).max(1.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" fill=\"#555\" font-size=\"10\">{}</text>\
             <rect x=\"{x}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{amount:.0} {unit}</text>",
            top + 9,
            target.name,
            top + 12,
            BAR_HEIGHT - 6,
            x as f64 + length + 4.0,
            top + 24,
        );
    }
}
