use super::*;
use plimsoll_core::config::Config;
use plimsoll_core::record::{encode, split};
use plimsoll_core::request::{Block, Request};
use plimsoll_core::router::Router;
use plimsoll_core::time::Instant;

/// Records of a router's first decisions.
fn records(count: u64) -> Vec<Vec<u8>> {
    let json = br#"{"hosts":["10.0.0.1:80","10.0.0.2:80","10.0.0.3:80"],"record":{"every":1}}"#;
    let mut router = Router::new(Config::parse(json).unwrap(), 1);
    let mut record = Vec::new();
    let decide = |n: u64| {
        let now = Instant::from_micros(1_000_000 + n * 1000);
        let block = [Block {
            hash: n % 5 + 1,
            end: 4000,
        }];
        let request = Request {
            prompt_bytes: 4000,
            blocks: &block,
            blocks_complete: true,
            seed: n,
            ..Request::default()
        };
        router.on_request_recorded(now, &request, &mut record);
        record.clone()
    };
    (0..count).map(decide).collect()
}

fn text(record: &[u8]) -> String {
    let mut text = String::new();
    encode(record, &mut text);
    text
}

#[test]
fn finds_records_in_files_and_in_both_logs() {
    let records = records(3);
    assert_eq!(read(&records.concat()).records, records);
    let log: String = records
        .iter()
        .map(|record| {
            format!(
                "[info] wasm log plimsoll: plimsoll-record {}\n[info] x\n",
                text(record)
            )
        })
        .collect();
    assert_eq!(read(log.as_bytes()).records, records);
    let access: String = records
        .iter()
        .map(|record| {
            format!(
                "{{\"status\":200,\"record\":\"{}\"}}\n{{\"record\":null}}\n",
                text(record)
            )
        })
        .collect();
    let found = read(access.as_bytes());
    assert_eq!((found.records, found.unreadable), (records, vec![]));
}

#[test]
fn tells_of_what_it_cannot_read() {
    let whole = records(2).concat();
    let found = read(&whole[..whole.len() - 1]);
    assert_eq!((found.records.len(), found.unreadable), (1, vec![2]));
    let found = read(b"x\nplimsoll-record !!!\n");
    assert_eq!((found.records.len(), found.unreadable), (0, vec![2]));
}

#[test]
fn a_changed_decision_is_shown() {
    let records = records(1);
    let view = View::new_checked(&records[0]).unwrap();
    let pair = again(&view);
    assert_eq!(pair.recorded, pair.again);
    let mut changed = pair;
    changed.again.choice.terms[0].total += 1;
    changed.again.choice.ranked = Ranked::default();
    changed.again.choice.ranked.push(2);
    let shown = Difference(&view, &changed).to_string();
    assert!(shown.contains("again 10.0.0.3:80 Terms"), "{shown}");
}

#[test]
fn another_policy_is_compared_and_the_same_agrees() {
    let file = records(40).concat();
    let tally = |policy| {
        let mut tally = Tally::default();
        let other = Other {
            policy,
            weights: Vec::new(),
        };
        for record in split(&file) {
            tally.add(&View::new_checked(record).unwrap(), &other);
        }
        tally
    };
    let same = tally(Policy::Plimsoll);
    assert_eq!((same.agreed, same.disagreed), (40, 0));
    let random = tally(Policy::Random);
    assert!(random.disagreed > 5 && random.agreed > 5, "{random:?}");
}
