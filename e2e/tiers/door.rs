//! Who may ask.

use plimsoll_e2e::{Figure, door};

pub(crate) async fn play() -> Vec<Figure> {
    let cases = door::cases().await;
    let figure = |case: door::Case| {
        let (status, reason) = case.expected;
        let what = format!("{}: {status} {reason}", case.what);
        if !case.pass() {
            eprintln!("{what}: got {:?}", case.got);
        }
        Figure::at_least(what.trim_end().to_owned(), u32::from(case.pass()), 1, "")
    };
    cases.into_iter().map(figure).collect()
}
