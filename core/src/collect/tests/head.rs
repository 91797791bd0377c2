use super::*;

/// The page of an engine that has `running` requests in its batch.
fn page(running: u32) -> Vec<u8> {
    let text = core::str::from_utf8(PAGE).unwrap();
    let line = "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"}";
    text.replace(&format!("{line} 0.0"), &format!("{line} {running}.0"))
        .into_bytes()
}

fn watching() -> (Collector, Address) {
    let config = Config::parse(br#"{"hosts":["127.0.0.1:1"]}"#).unwrap();
    (
        Collector::new(config, 9),
        Address::parse("127.0.0.1:1").unwrap(),
    )
}

#[test]
fn the_beginning_of_a_page_tells_what_the_whole_does() {
    let (mut collector, a) = watching();
    let (mut thorough, _) = watching();
    assert_eq!(collector.head_of(a), None, "nothing is known of its pages");
    let (mut bytes, mut wholes) = (0, 0);
    for poll in 0..200 {
        let (now, page) = (at(1000 + 200 * poll), page(poll as u32));
        thorough.on_polled(now, a, Ok(&page));
        let head = collector
            .head_of(a)
            .map(|bytes| &page[..bytes.min(page.len())]);
        if let Some(head) = head
            && collector.on_polled_head(now, a, head)
        {
            bytes += head.len();
        } else {
            wholes += 1;
            bytes += page.len();
            assert!(collector.on_polled(now, a, Ok(&page)));
        }
        let told = records(&mut collector, now)[0].polled;
        assert_eq!(told, records(&mut thorough, now)[0].polled);
        assert_eq!(told.map(|p| p.running), Some(poll as u32));
    }
    assert_eq!(wholes, 4, "one in sixty-four");
    let share = bytes * 100 / (200 * PAGE.len());
    assert!(share < 50, "{share} % was read");
}

#[test]
fn a_beginning_that_says_less_or_more_is_not_enough() {
    let (mut collector, a) = watching();
    assert!(
        !collector.on_polled_head(at(900), a, PAGE),
        "never read whole"
    );
    assert!(collector.on_polled(at(1000), a, Ok(PAGE)));
    let bytes = collector.head_of(a).unwrap();
    assert!(!collector.on_polled_head(at(1200), a, &PAGE[..bytes / 2]));
    assert_eq!(collector.head_of(a), None, "the next page is read whole");
    assert!(collector.on_polled(at(1400), a, Ok(PAGE)));
    let mut more = b"vllm:num_requests_running{engine=\"1\",model_name=\"tiny\"} 3.0\n".to_vec();
    more.extend_from_slice(&PAGE[..bytes]);
    assert!(!collector.on_polled_head(at(1600), a, &more));
}

#[test]
fn half_a_figure_is_none() {
    let (mut collector, a) = watching();
    assert!(collector.on_polled(at(1000), a, Ok(&page(1234))));
    let page = page(5678);
    let figure = page.windows(6).position(|w| w == b"5678.0").unwrap();
    assert!(!collector.on_polled_head(at(1200), a, &page[..figure + 2]));
    assert_eq!(
        records(&mut collector, at(1201))[0]
            .polled
            .map(|p| p.running),
        Some(1234)
    );
}
