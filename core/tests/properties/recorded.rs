//! Decisions that are recorded are the same as those that are not, and can be made again from the record alone.

use plimsoll_core::choose::Choice;
use plimsoll_core::record::View;
use plimsoll_core::request::Request;
use plimsoll_core::router::{Router, Verdict};
use plimsoll_core::time::Instant;

/// Lets a copy of `router` decide with recording on, and makes the decision again. Returns the verdict and the record.
pub(crate) fn decide(router: &Router, now: Instant, request: &Request<'_>) -> (Verdict, Vec<u8>) {
    let mut router = router.clone();
    let mut record = vec![1, 2, 3];
    let verdict = router.on_request_recorded(now, request, &mut record);
    if record.is_empty() {
        assert_eq!(router.host_count(), 0);
        return (verdict, record);
    }
    let view = View::new_checked(&record).unwrap();
    let again = view.replay();
    assert_eq!(again.choice, view.choice());
    assert_eq!(again.shadow, view.shadow());
    match &verdict {
        Verdict::Forward(decision) => {
            let Choice { ranked, terms } = again.choice;
            assert_eq!((ranked, terms), (decision.ranked, decision.terms));
            assert_eq!(again.shadow, decision.shadow);
            assert_eq!(view.question().step, decision.step);
            assert_eq!(view.snapshot_age(), decision.snapshot_age);
            let eligible = view.hosts().filter(|host| host.ruled_out == 0);
            assert_eq!(eligible.count(), usize::from(decision.eligible));
        }
        _ => assert!(again.choice.ranked.is_empty()),
    }
    (verdict, record)
}
