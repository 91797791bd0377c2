//! Colours and type: one look for all plots, on light pages and on dark ones.

use plotters::style::{RGBColor, ShapeStyle};

/// Paper.
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Letters and axes.
pub(super) const INK: RGBColor = RGBColor(31, 35, 40);
/// What is said in passing.
pub(super) const FAINT: RGBColor = RGBColor(89, 99, 110);
/// Grid.
pub(super) const GRID: RGBColor = RGBColor(225, 228, 232);

/// The viewer's dark scheme swaps these: colours that are not for data are told apart by their exact value.
const DARK: [(RGBColor, &str); 4] = [
    (PAPER, "#0D1117"),
    (INK, "#E6EDF3"),
    (FAINT, "#9198A1"),
    (GRID, "#2A3038"),
];

/// Family of all letters.
pub(super) const FONT: &str = "sans-serif";

/// A policy's colour: told apart by the colour-blind, and visible on both papers.
pub(super) fn colour(policy: &str) -> RGBColor {
    match policy {
        "plimsoll" => RGBColor(31, 119, 214),
        "lmetric" => RGBColor(213, 94, 0),
        "gie" => RGBColor(0, 158, 115),
        "cache_aware" => RGBColor(190, 105, 150),
        "dynamo" => RGBColor(150, 110, 220),
        "least_request" => RGBColor(208, 148, 0),
        "oracle" | "bound" => FAINT,
        _ => RGBColor(139, 145, 152),
    }
}

/// The line of a policy: ours is the broad one.
pub(super) fn line(policy: &str) -> ShapeStyle {
    let width = if policy == "plimsoll" { 3 } else { 2 };
    ShapeStyle::from(colour(policy)).stroke_width(width)
}

/// Whether a policy knows what no router can: its line is dashed.
pub(super) fn knows_all(policy: &str) -> bool {
    ["oracle", "bound"].contains(&policy)
}

/// Adds the dark scheme to a finished drawing, and the words for those who cannot see it.
pub(super) fn finish(svg: &str, title: &str) -> String {
    let mut rules = String::new();
    for (RGBColor(r, g, b), dark) in DARK {
        for attribute in ["fill", "stroke"] {
            rules += &format!("[{attribute}=\"#{r:02X}{g:02X}{b:02X}\"]{{{attribute}:{dark}}}");
        }
    }
    let head = format!(
        "\n<title>{title}</title>\n<style>@media (prefers-color-scheme: dark){{{rules}}}</style>\n"
    );
    // After the opening tag; plotters puts one element a line.
    match svg.split_once(">\n") {
        Some((open, rest)) => format!("{open} role=\"img\">{head}{rest}"),
        None => svg.to_owned(),
    }
}
