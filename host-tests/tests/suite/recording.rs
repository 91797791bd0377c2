//! Decision records, as the module writes them.

use plimsoll_core::record::{LINE, View, decode};
use plimsoll_host::scenario::{Fleet, Request, Runtime};

use crate::common::{fleet, metric, prompt, same, serve, warm};

const REQUESTS: u64 = 30;

fn run(runtime: Runtime, fields: &str) -> Fleet {
    let mut fleet = warm(fleet(runtime, 5).fields(fields));
    for n in 0..REQUESTS {
        let text = prompt(n % 7, 3_000 + n as usize * 100);
        serve(&mut fleet, Request::say("m", &text));
    }
    fleet.run_ms(50);
    fleet.check();
    fleet
}

fn logged(fleet: &Fleet) -> Vec<String> {
    let proxy = fleet.proxy();
    let lines = proxy
        .log
        .iter()
        .filter_map(|line| line.text.strip_prefix(LINE));
    lines.map(str::to_owned).collect()
}

fn in_filter_state(fleet: &Fleet) -> Vec<String> {
    let proxy = fleet.proxy();
    let records = proxy
        .filter_state
        .iter()
        .filter(|((.., name), _)| name == "plimsoll_record");
    records
        .map(|(_, text)| String::from_utf8(text.clone()).unwrap())
        .collect()
}

#[test]
fn every_record_can_be_decided_again_and_is_the_same_native_and_wasm() {
    let fields = r#""shadow":{"enabled":true,"policy":"least_request"},
        "record":{"every":1,"filter_state":true}"#;
    let [native, wasm] = [Runtime::Native, Runtime::Wasm].map(|runtime| run(runtime, fields));
    same(&native, &wasm);
    let lines = logged(&wasm);
    assert_eq!(lines.len() as u64, REQUESTS);
    assert_eq!(logged(&native), lines, "bit for bit");
    let mut state = in_filter_state(&wasm);
    let mut sorted = lines.clone();
    state.sort();
    sorted.sort();
    assert_eq!(state, sorted);
    let (mut agreed, mut cached) = (0, 0);
    for (line, decided) in lines.iter().zip(wasm.records()) {
        let mut record = Vec::new();
        assert!(decode(line.as_bytes(), &mut record));
        let view = View::new_checked(&record).unwrap();
        let again = view.replay();
        assert_eq!(again.choice, view.choice());
        assert_eq!(again.shadow, view.shadow());
        let first = again.choice.ranked.first();
        let address = view.host(first.unwrap()).unwrap().address;
        assert_eq!(decided.first(), Some(address.to_string().as_str()));
        agreed += u64::from(again.shadow.unwrap().ranked.first() == first);
        cached += u64::from(view.hosts().any(|host| host.inputs.known_tokens > 0));
    }
    assert!(cached > 10, "{cached}");
    assert_eq!(metric(&wasm, "plimsoll_shadow_agreed"), agreed);
    assert_eq!(
        metric(&wasm, "plimsoll_shadow_disagreed"),
        REQUESTS - agreed
    );
    assert!(agreed < REQUESTS && metric(&wasm, "plimsoll_shadow_regret_us") > 0);
}

#[test]
fn a_sample_is_a_sample_and_nothing_is_written_unasked() {
    let some = logged(&run(Runtime::Wasm, r#""record":{"every":3}"#)).len() as u64;
    assert!((1..REQUESTS).contains(&some), "{some}");
    for fields in [r#""explain":true"#, r#""record":{"every":1,"log":false}"#] {
        let fleet = run(Runtime::Wasm, fields);
        assert!(logged(&fleet).is_empty() && in_filter_state(&fleet).is_empty());
    }
}
